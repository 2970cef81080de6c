// Unpacks Plotly from the page itself and draws the plots. The state in <body> is for whoever waits for that.
(async () => {
  const PRINTED_PX = 680;
  const holders = [...document.querySelectorAll(".plot")];
  try {
    const packed = atob(document.getElementById("library").textContent);
    const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    const figures = JSON.parse(document.getElementById("figures").textContent);
    // On a phone the buttons would lie on the legend; pinching and tapping do without them.
    const buttons = { displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"], displayModeBar: "hover" };
    if (window.innerWidth < 600) buttons.displayModeBar = false;
    const config = { responsive: true, ...buttons };
    for (const holder of holders) {
      const { data, layout } = figures[holder.dataset.figure];
      await Plotly.newPlot(holder, data, layout, config);
    }
    // A plot has the width of the window; paper is narrower.
    const resize = (change) => holders.forEach((holder) => Plotly.relayout(holder, change));
    window.addEventListener("beforeprint", () => resize({ autosize: false, width: PRINTED_PX }));
    window.addEventListener("afterprint", () => resize({ autosize: true, width: null }));
    document.body.dataset.state = "ready";
  } catch (error) {
    document.body.dataset.state = "failed";
    for (const holder of holders) {
      holder.style.height = "auto";
      holder.textContent = `This browser cannot draw the plots (${error.message}). The tables hold the numbers.`;
    }
  }
})();
