"""Genes and values are the same configuration; finite spaces are counted and gone through."""

import keras_tuner
import numpy as np
import pytest
import searching

from tuner_fn.oracles.space import Space


def make_finite_space() -> keras_tuner.HyperParameters:
    """Has 2 * 3 + 1 configurations: `depth` counts only with a head, `width` always has one value."""
    space = keras_tuner.HyperParameters()
    space.Choice("head", ["none", "one", "two"])
    with space.conditional_scope("head", ["one", "two"]):
        space.Int("depth", 1, 3)
    space.Float("width", 2.0, 2.0)
    return space


def test_values_and_genes_are_inverses() -> None:
    space = Space(searching.make_mixed_space())
    for genes in space.sample(np.random.default_rng(0), 200):
        values = space.values(genes)
        found = space.genes(values)
        assert found == pytest.approx(genes, abs=1e-12)
        assert space.values(found) == pytest.approx(values)
    finite = Space(make_finite_space())
    for genes in finite.all():
        assert finite.genes(finite.values(genes)).tobytes() == genes.tobytes()


def test_only_active_parameters_have_values() -> None:
    space = Space(searching.make_mixed_space())
    seen = [space.values(genes) for genes in space.sample(np.random.default_rng(0), 200)]
    assert {values["backbone"] for values in seen} == {"v1", "v2", "v3"}
    for values in seen:
        assert ("alpha" in values) == (values["backbone"] != "v1")
        assert ("dropout" in values) == (values.get("alpha") == 1.0)
        assert values["fixed"] == 7


def test_samples_cover_the_range_of_each_parameter() -> None:
    """Log ranges by their logarithm; the ends of an integer range come as often as its middle."""
    space = Space(searching.make_mixed_space())
    seen = [space.values(genes) for genes in space.sample(np.random.default_rng(0), 2000)]
    rates = np.log10([values["rate"] for values in seen])
    assert np.histogram(rates, bins=3, range=(-4, -1))[0] == pytest.approx([667] * 3, abs=80)
    layers = np.bincount([values["layers"] for values in seen])
    assert layers[1:] == pytest.approx([400] * 5, abs=80)
    assert {values["overlap"] for values in seen} == {0.0, 0.25, 0.5, 0.75, 1.0}
    units = [values["units"] for values in seen]
    assert min(units) >= 16
    assert max(units) <= 512


def test_the_defaults_are_the_declared_ones() -> None:
    space = Space(searching.make_mixed_space())
    assert space.defaults() == searching.make_mixed_space().values


def test_an_infinite_space_has_no_size_and_a_finite_one_its_number() -> None:
    assert Space(searching.make_mixed_space()).size is None
    assert Space(make_finite_space()).size == 7
    large = make_finite_space()
    for number in range(3):
        large.Int(f"units{number}", 1, 50)
    assert Space(large).size == 7 * 50**3
    large.Int("more", 1, 50)
    assert Space(large).size is None  # above a million


def test_all_lists_each_configuration_of_a_finite_space_once() -> None:
    space = Space(make_finite_space())
    found = [space.values(genes) for genes in space.all()]
    expected = [{"head": "none", "width": 2.0}]
    expected += [{"head": head, "depth": depth, "width": 2.0} for head in ("one", "two") for depth in (1, 2, 3)]
    assert found == expected


def test_a_grid_takes_both_ends_of_a_range() -> None:
    space = keras_tuner.HyperParameters()
    space.Float("rate", 1e-4, 1e-2, sampling="log")
    found = [Space(space).values(genes)["rate"] for genes in Space(space).all(values_each=3)]
    assert found == pytest.approx([1e-4, 1e-3, 1e-2])


def test_features_set_the_values_of_an_unordered_choice_equally_apart() -> None:
    space = keras_tuner.HyperParameters()
    space.Choice("backbone", ["v1", "v2", "v3"], ordered=False)
    space.Choice("alpha", [0.35, 0.5, 1.0])
    found = Space(space)
    features = found.features(np.array(list(found.all())))
    assert features.shape == (9, 4)
    first = features[::3]  # the backbones, alpha unchanged
    assert np.linalg.norm(first[:, None] - first[None], axis=-1) == pytest.approx(1.0 - np.eye(3))
    assert features[:3, 3] == pytest.approx([1 / 6, 1 / 2, 5 / 6])


def test_a_varied_configuration_is_another_valid_one() -> None:
    space = Space(searching.make_mixed_space())
    rng = np.random.default_rng(0)
    genes = space.sample(rng, 300)
    varied = space.vary(genes, rng)
    assert varied.tobytes() == space.canonical(varied).tobytes()
    changed = (varied != genes).any(axis=1)
    assert changed.mean() > 0.8  # a small step may end in the same integer
