"""Embedded dataset `road_scenes`: seeded synthetic road scenes with persons, bicycles and cars.

`scenes.render_scene` draws one labelled scene without TensorFlow; `builder.RoadScenes` is the TFDS builder
over it. One file a concern: `layout` (where things are), `canvas` (camera, sprites), `figures`, `cars`,
`clutter`, `background` (their shapes), `looks` (materials, light, sensor), `scenes` (all of it, labels).
"""
