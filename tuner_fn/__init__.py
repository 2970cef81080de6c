"""The search: presets, search space, oracles, and the Keras Tuner that the TFX Tuner component runs."""
