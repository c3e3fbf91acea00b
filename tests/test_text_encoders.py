"""Encoders of words: what must hold exactly."""

import keras
import numpy as np
import pytest

from mtlrec_utils import models
from mtlrec_utils.models.text_encoders import (
    TEXT_ENCODERS,
    depthwise_convolution,
    separable_convolution,
    standard_convolution,
    text_encoder,
)

RNG = np.random.default_rng(0)
TOKENS = RNG.normal(size=(4, 6, 3)).astype("float32")
PLACES = (np.arange(6) < [[6], [4], [1], [0]]).astype("float32")


def encoder_model(name, length=6, shift=True):
    tokens = keras.Input((length, 3), name="tokens")
    places = keras.Input((length,), name="places")
    model = keras.Model(
        [tokens, places], TEXT_ENCODERS[name](tokens, places, 1)
    )
    if shift:
        noise = np.random.default_rng(5)
        for weight in model.weights:
            weight.assign(noise.normal(size=weight.shape))
    return model


def out(model, tokens=TOKENS, places=PLACES):
    found = model([tokens * places[:, :, None], places])
    return np.asarray(found)


# The convolutions


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_the_separable_kernel_is_a_standard_one(width):
    depthwise = RNG.normal(size=(width, 3)).astype("float32")
    pointwise = RNG.normal(size=(3, 4)).astype("float32")
    np.testing.assert_allclose(
        np.asarray(separable_convolution(TOKENS, depthwise, pointwise)),
        np.asarray(
            standard_convolution(TOKENS, depthwise[:, :, None] * pointwise)
        ),
        atol=1e-5,
    )


@pytest.mark.parametrize("width", [2, 3])
def test_the_standard_convolution_is_that_of_keras(width):
    kernel = RNG.normal(size=(width, 3, 5)).astype("float32")
    ours = np.asarray(standard_convolution(TOKENS, kernel))
    # Keras pads an even width behind, we before.
    padded = np.pad(TOKENS, [(0, 0), (width // 2, (width - 1) // 2), (0, 0)])
    theirs = keras.ops.conv(padded, kernel, padding="valid")
    np.testing.assert_allclose(ours, np.asarray(theirs), atol=1e-5)


def test_a_window_by_hand():
    tokens = np.array([[[1.0], [10.0], [100.0]]])
    kernel = np.array([[2.0], [3.0], [5.0]])  # before, here, behind
    found = depthwise_convolution(tokens, kernel)
    np.testing.assert_array_equal(
        np.asarray(found)[0, :, 0], [53.0, 532.0, 320.0]
    )


@pytest.mark.parametrize("separable", [True, False])
def test_the_layer_sees_no_empty_place(separable):
    layer = models.WordConvolution(4, separable=separable, seed=0)
    found = np.asarray(layer([TOKENS, PLACES]))
    assert not found[PLACES == 0].any()
    filled = np.where(PLACES[:, :, None] == 0, 99.0, TOKENS)
    np.testing.assert_array_equal(found, np.asarray(layer([filled, PLACES])))


def test_the_layer_counts_its_weights():
    sizes = {}
    for separable in (True, False):
        layer = models.WordConvolution(4, width=5, separable=separable)
        layer.build([(None, 6, 3), (None, 6)])
        sizes[separable] = layer.count_params()
    assert sizes == {True: 3 * (5 + 4) + 4, False: 5 * 3 * 4 + 4}


def test_the_layers_of_both_kinds_agree_on_matching_kernels():
    separable = models.WordConvolution(4, seed=0)
    standard = models.WordConvolution(4, separable=False, seed=0)
    for layer in (separable, standard):
        layer.build([TOKENS.shape, PLACES.shape])
    depthwise, pointwise = (
        np.asarray(separable.kernels[n]) for n in ("depthwise", "pointwise")
    )
    standard.kernels["kernel"].assign(depthwise[:, :, None] * pointwise)
    np.testing.assert_allclose(
        np.asarray(separable([TOKENS, PLACES])),
        np.asarray(standard([TOKENS, PLACES])),
        atol=1e-6,
    )


@pytest.mark.parametrize("option", [{"filters": 0}, {"width": 0}])
def test_bad_sizes_are_named(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        models.WordConvolution(**({"filters": 2} | option))


# The encoders


@pytest.mark.parametrize("name", TEXT_ENCODERS)
def test_a_text_without_words_is_zeros_and_padding_counts_nowhere(name):
    found = out(encoder_model(name))
    np.testing.assert_array_equal(found[3], 0)
    for row, length in ((1, 4), (2, 1)):
        # The same text in a shorter row.
        short = out(
            encoder_model(name, length),
            TOKENS[row : row + 1, :length],
            np.ones((1, length), "float32"),
        )
        np.testing.assert_allclose(short[0], found[row], atol=1e-5)


@pytest.mark.parametrize("name", TEXT_ENCODERS)
def test_order_counts_in_the_convolution_only(name):
    model = encoder_model(name)
    turned = TOKENS.copy()
    turned[1, :4] = TOKENS[1, [2, 0, 3, 1]]
    gap = np.abs(out(model) - out(model, turned))
    assert (gap[1].max() > 1e-2) == (name == "convolution")
    np.testing.assert_allclose(gap[[0, 2, 3]], 0, atol=1e-6)


@pytest.mark.parametrize("name", TEXT_ENCODERS)
def test_with_nothing_added_each_is_the_bag(name):
    model = encoder_model(name)
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    np.testing.assert_allclose(
        out(model), out(encoder_model("bag")), atol=1e-6
    )


def test_the_bag_by_hand():
    found = out(encoder_model("bag"))
    np.testing.assert_allclose(found[1], TOKENS[1, :4].mean(0), atol=1e-6)


def test_an_unknown_encoder_is_named():
    with pytest.raises(ValueError, match="'lstm' is unknown; use one of 'bag"):
        text_encoder("lstm")
