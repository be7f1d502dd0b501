"""Every operation against Keras's, on the same arguments: values, shapes, types and signatures.

The shapes and types that symbolic tensors promise are compared with the computed ones as well.
"""

from __future__ import annotations

import inspect

import jax
import keras
import numpy as np
import pytest

from nacre import ops
from nacre.core.symbolic import SymbolicTensor

rng = np.random.default_rng(7)


def reals(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype("float32")


def positives(*shape: int) -> np.ndarray:
    return rng.uniform(0.1, 0.9, size=shape).astype("float32")


def wholes(*shape: int, high: int = 6) -> np.ndarray:
    return rng.integers(0, high, size=shape).astype("int32")


def words(text: str) -> list[str]:
    return text.split()


def truths(*shape: int) -> np.ndarray:
    return rng.integers(0, 2, size=shape).astype("bool")


A, B = reals(3, 4), reals(3, 4)
ROW = reals(4)
N, J = wholes(3, 4), wholes(3, 4) + 1
WITH_NAN = np.where(truths(3, 4), np.nan, A).astype("float32")
SQUARE = reals(3, 3) + 3 * np.eye(3, dtype="float32")
POSITIVE_DEFINITE = SQUARE @ SQUARE.T
IMAGES = positives(2, 7, 6, 3)
SEQUENCES = reals(2, 9, 4)
VOLUMES = reals(2, 5, 6, 4, 3)
SIGNAL = reals(2, 40)
PROBABILITIES = np.array([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]], "float32")
PAIR = (reals(2, 8), reals(2, 8))
MATRICES = (reals(2, 4, 6), reals(2, 4, 6))

FLOATING = words(
    """
    exp exp2 expm1 sin cos tan arctan sinh cosh tanh arcsinh sinc deg2rad rad2deg floor ceil trunc
    erf erfc i0 cbrt relu relu6 sigmoid log_sigmoid silu swish hard_silu hard_swish
    hard_sigmoid hard_tanh softplus softsign selu sparse_plus sparse_sigmoid tanh_shrink
    squareplus softmax log_softmax elu celu gelu leaky_relu hard_shrink soft_shrink glu normalize
    rms_normalization layer_normalization angle real imag conj conjugate
    """
)
# On whole numbers Keras raises an error, or returns whole numbers; ours are floating-point.
NOT_ON_WHOLES = words(
    """
    erf sigmoid silu swish hard_tanh softmax log_softmax glu normalize rms_normalization
    layer_normalization angle average
    """
)
POSITIVE = words("sqrt rsqrt log log2 log10 log1p arccos arcsin arctanh reciprocal erfinv")
SAME_TYPE = words(
    """
    abs absolute negative sign square fabs isfinite isinf isnan isneginf isposinf isreal signbit
    logical_not ravel copy fliplr flipud transpose sort argsort zeros_like ones_like
    shape ndim size stop_gradient convert_to_tensor convert_to_numpy array round nan_to_num
    sum mean var std median max min amax amin ptp prod all any argmax argmin count_nonzero
    cumsum cumprod diff tril triu diag diagflat trace average logsumexp unstack
    """
)
NAN_AWARE = words(
    """
    nansum nanprod nanmean nanvar nanstd nanmedian nanmax nanmin nancumsum nancumprod isnan
    nan_to_num
    """
)
BINARY = words(
    """
    add subtract multiply divide true_divide maximum minimum power mod fmod floor_divide equal
    not_equal less less_equal greater greater_equal arctan2 hypot logaddexp logaddexp2 fmax fmin
    logical_and logical_or logical_xor isclose allclose heaviside nextafter divide_no_nan outer
    append kron isin
    """
)
MIXED = words("add divide maximum power less arctan2 floor_divide logical_or isclose divide_no_nan")
WHOLE = words("bitwise_and bitwise_or bitwise_xor left_shift right_shift gcd lcm add mod power")
REDUCTIONS = words("sum mean var std max min prod all any argmax argmin logsumexp median ptp")
PRODUCTS = [
    ("matmul", (reals(2, 3, 4), reals(4, 5))),
    ("matmul", (A, ROW)),
    ("matmul", (wholes(2, 3), reals(3, 2))),
    ("dot", (A, reals(4, 2))),
    ("inner", (A, ROW)),
    ("vdot", (A, B)),
    ("tensordot", (A, reals(4, 5)), {"axes": 1}),
    ("tensordot", (A, reals(4, 3)), {"axes": [[0, 1], [1, 0]]}),
    ("einsum", ("ij,kj->ik", A, B)),
    ("cross", (reals(4, 3), reals(4, 3))),
    ("correlate", (ROW, reals(3)), {"mode": "full"}),
    ("corrcoef", (A,)),
    ("cdist", (A, reals(5, 4))),
    ("dot_product_attention", (reals(2, 5, 2, 4), reals(2, 3, 2, 4), reals(2, 3, 2, 4))),
    (
        "dot_product_attention",
        (reals(2, 3, 2, 4), reals(2, 3, 2, 4), reals(2, 3, 2, 4)),
        {"is_causal": True, "scale": 0.3},
    ),
]
SETTINGS = [
    ("reshape", (A, (2, -1))),
    ("expand_dims", (A, 1)),
    ("expand_dims", (A, (0, 2))),
    ("squeeze", (reals(1, 3, 1),)),
    ("squeeze", (reals(1, 3, 1), 0)),
    ("transpose", (VOLUMES, (4, 1, 0, 2, 3))),
    ("swapaxes", (VOLUMES, 1, 3)),
    ("moveaxis", (VOLUMES, 1, -1)),
    ("broadcast_to", (ROW, (3, 4))),
    ("flip", (A, 1)),
    ("rot90", (A,)),
    ("roll", (A, 2, 1)),
    ("concatenate", ([A, B], 1)),
    ("concatenate", ([A, N], -1)),
    ("stack", ([A, B],), {"axis": 1}),
    ("hstack", ([A, B],)),
    ("vstack", ([A, B],)),
    ("dstack", ([A, B],)),
    ("split", (A, 2), {"axis": 1}),
    ("split", (A, [1, 3]), {"axis": 1}),
    ("array_split", (A, 3), {"axis": 1}),
    ("hsplit", (A, 2)),
    ("vsplit", (A, 3)),
    ("dsplit", (VOLUMES, 2)),
    ("unstack", (A,), {"axis": 1}),
    ("repeat", (A, 2), {"axis": 0}),
    ("repeat", (A, np.array([1, 2, 3])), {"axis": 0}),
    ("tile", (A, (2, 1))),
    ("tile", (A, 3)),
    ("pad", (A, ((1, 2), (0, 1)))),
    ("pad", (A, 1), {"mode": "reflect"}),
    ("pad", (A, 1), {"constant_values": 2.5}),
    ("diag", (ROW, 1)),
    ("diagonal", (A, 1)),
    ("tril", (A, -1)),
    ("space_to_depth", (reals(2, 4, 6, 3), 2)),
    ("depth_to_space", (reals(2, 4, 6, 8), 2)),
    ("extract_sequences", (SIGNAL, 8, 3)),
    ("view_as_complex", (reals(3, 2),)),
    ("take", (A, [2, 0]), {"axis": 0}),
    ("take", (A, wholes(2, 2, high=4)), {"axis": 1}),
    ("take_along_axis", (A, wholes(3, 2, high=4)), {"axis": 1}),
    ("get_item", (A, (slice(None, 2), 1))),
    ("get_item", (A, (..., None, slice(None, None, 2)))),
    ("slice", (A, (1, 0), (2, 3))),
    ("slice_update", (A, (1, 1), reals(2, 2))),
    ("scatter", (np.array([[0], [3], [0]]), reals(3), (5,))),
    ("scatter_update", (A, np.array([[0, 1], [2, 2]]), np.array([1.0, 2.0], "float32"))),
    ("scatter_update", (A, [[0, 1]], np.array([1.0], "float32")), {"reduction": "add"}),
    ("scatter_update", (A, [[0, 1]], np.array([3.0], "float32")), {"reduction": "mul"}),
    ("sort", (A,), {"axis": 0}),
    ("top_k", (A, 2)),
    ("in_top_k", (np.array([0, 1]), PROBABILITIES), {"k": 2}),
    ("searchsorted", (np.sort(ROW), reals(3))),
    ("digitize", (A, np.array([-1.0, 0.0, 1.0], "float32"))),
    ("nonzero", (N,)),
    ("unique", (N,)),
    ("unravel_index", (np.array([1, 7]), (3, 4))),
    ("where", (truths(3, 4), A, B)),
    ("where", (truths(3, 4), A, 0)),
    ("where", (truths(3, 1), N, ROW)),
    ("select", ([truths(3, 4), truths(3, 4)], [A, B], 1.5)),
    ("clip", (A, -0.5, 0.5)),
    ("clip", (N, 1, 3)),
    ("round", (A, 1)),
    ("isclose", (A, A + 1e-3), {"atol": 1e-2}),
    ("ldexp", (A, N)),
    ("polar", (positives(4), ROW)),
    ("saturate_cast", (A * 300, "uint8")),
    ("saturate_cast", (A * 1e38, "float16")),
    ("cast", (A, "int32")),
    ("cast", (N, "float16")),
    ("one_hot", (np.array([0, 2, -1, 5]), 3)),
    ("one_hot", (N, 6), {"axis": 1, "dtype": "int32"}),
    ("multi_hot", (N, 6)),
    ("full", ((2, 3), 1.5)),
    ("full_like", (N, 2)),
    ("zeros", ((2, 3),)),
    ("ones", ((2, 3),), {"dtype": "int32"}),
    ("arange", (5,)),
    ("arange", (1, 8, 2)),
    ("arange", (0.5, 2.0, 0.25)),
    ("arange", (3,), {"dtype": "float32"}),
    ("linspace", (0.0, 1.0, 7)),
    ("linspace", (0, 5, 6)),
    ("logspace", (0.0, 2.0, 5)),
    ("geomspace", (1.0, 16.0, 5)),
    ("eye", (3,)),
    ("eye", (3, 4, 1)),
    ("identity", (3,)),
    ("tri", (3, 4)),
    ("vander", (ROW, 3)),
    ("meshgrid", (ROW, reals(2))),
    ("bartlett", (6,)),
    ("blackman", (6,)),
    ("hamming", (6,)),
    ("hanning", (6,)),
    ("kaiser", (6, 2.0)),
    ("quantile", (A, 0.3)),
    ("quantile", (A, [0.2, 0.7]), {"axis": 1, "keepdims": True}),
    ("percentile", (A, 30.0), {"method": "nearest"}),
    ("nanquantile", (WITH_NAN, 0.4)),
    ("nanpercentile", (WITH_NAN, 40.0), {"axis": 0}),
    ("average", (A,), {"axis": 1, "weights": positives(4)}),
    ("max", (A,), {"axis": 0, "initial": 0.2}),
    ("moments", (IMAGES, (0, 1, 2))),
    ("moments", (A,), {"axes": 0, "keepdims": True}),
    ("bincount", (np.array([1, 1, 4, 0]),)),
    ("bincount", (np.array([1, 1, 4, 0]),), {"weights": positives(4), "minlength": 7}),
    ("histogram", (reals(9),), {"bins": 5}),
    ("trapezoid", (A,), {"dx": 0.5}),
    ("cumsum", (A,), {"axis": 1}),
    ("cumprod", (N,), {"axis": 0}),
    ("diff", (A,), {"n": 2}),
    ("segment_sum", (A, np.array([0, 2, 0])), {"num_segments": 4}),
    ("segment_max", (A, np.array([0, 1, 0])), {"num_segments": 2}),
    ("segment_min", (A, np.array([0, 1, 0])), {"num_segments": 2}),
    ("segment_prod", (A, np.array([0, 1, 0])), {"num_segments": 3}),
    ("logsumexp", (A,), {"axis": (0, 1), "keepdims": True}),
    ("norm", (A,)),
    ("norm", (A,), {"axis": 1, "ord": 1}),
    ("norm", (A,), {"axis": 1, "ord": np.inf, "keepdims": True}),
    ("norm", (A,), {"ord": "nuc", "axis": (0, 1)}),
    ("norm", (N,), {"ord": "fro", "axis": (0, 1)}),
    ("cholesky", (POSITIVE_DEFINITE,)),
    ("cholesky", (POSITIVE_DEFINITE,), {"upper": True}),
    ("cholesky_inverse", (np.linalg.cholesky(POSITIVE_DEFINITE),)),
    ("det", (SQUARE,)),
    ("inv", (SQUARE,)),
    ("logdet", (POSITIVE_DEFINITE,)),
    ("slogdet", (SQUARE,)),
    ("eigh", (POSITIVE_DEFINITE,)),
    ("eig", (POSITIVE_DEFINITE,)),
    ("qr", (SQUARE,)),
    ("svd", (A,), {"full_matrices": False}),
    ("svd", (A,), {"compute_uv": False}),
    ("lu_factor", (SQUARE,)),
    ("pinv", (A,)),
    ("matrix_rank", (SQUARE,)),
    ("solve", (SQUARE, reals(3, 2))),
    ("solve", (SQUARE, reals(3))),
    ("solve_triangular", (np.tril(SQUARE), reals(3, 2)), {"lower": True}),
    ("lstsq", (reals(5, 3), reals(5))),
    ("fft", (PAIR,)),
    ("fft2", (MATRICES,)),
    ("ifft2", (MATRICES,)),
    ("rfft", (SIGNAL,)),
    ("rfft", (SIGNAL, 16)),
    ("irfft", (PAIR,)),
    ("glu", (A, 1)),
    ("softmax", (VOLUMES, (1, 2))),
    ("squareplus", (A, 2)),
    ("threshold", (A, 0.1, -1.0)),
    ("gelu", (A, False)),
    ("normalize", (A,), {"order": 1, "axis": 0}),
    ("normalize", (np.zeros((2, 2), "float32"),)),
    ("batch_normalization", (IMAGES, reals(3), positives(3), -1, reals(3), reals(3))),
    ("batch_normalization", (IMAGES, reals(7), positives(7), 1)),
    ("layer_normalization", (IMAGES, reals(3), reals(3))),
    ("layer_normalization", (IMAGES, reals(6, 3)), {"axis": (2, 3), "epsilon": 0.1}),
    ("rms_normalization", (IMAGES, reals(3)), {"epsilon": 0.1}),
    ("binary_crossentropy", (truths(3, 4).astype("float32"), positives(3, 4))),
    ("binary_crossentropy", (truths(3, 4).astype("float32"), A), {"from_logits": True}),
    ("categorical_crossentropy", (PROBABILITIES[::-1].copy(), PROBABILITIES)),
    ("categorical_crossentropy", (PROBABILITIES, A[:2, :3]), {"from_logits": True}),
    ("sparse_categorical_crossentropy", (np.array([0, 2]), PROBABILITIES)),
    ("sparse_categorical_crossentropy", (np.array([[0], [2]]), PROBABILITIES)),
    ("psnr", (positives(3, 4), positives(3, 4), 1.0)),
]
WINDOWS = [
    ("conv", (IMAGES, reals(3, 2, 3, 4))),
    ("conv", (IMAGES, reals(3, 2, 1, 6), (2, 1)), {"padding": "same"}),
    ("conv", (IMAGES, reals(2, 2, 3, 4)), {"dilation_rate": 2}),
    ("conv", (SEQUENCES, reals(3, 4, 5), 2)),
    ("conv", (VOLUMES, reals(2, 2, 2, 3, 4)), {"padding": "same"}),
    ("depthwise_conv", (IMAGES, reals(3, 3, 3, 2)), {"strides": 2}),
    ("separable_conv", (IMAGES, reals(3, 3, 3, 2), reals(1, 1, 6, 5)), {"padding": "same"}),
    ("max_pool", (IMAGES, 2, 2)),
    ("max_pool", (IMAGES, (3, 2), 2), {"padding": "same"}),
    ("max_pool", (SEQUENCES, 3, 1)),
    ("average_pool", (IMAGES, 3, 2), {"padding": "same"}),
    ("average_pool", (VOLUMES, 2, 1)),
    *(
        ("conv_transpose", (IMAGES, reals(k, k, 4, 3)), {"strides": s, "padding": p})
        for k, s in ((1, 2), (2, 1), (2, 3), (3, 1), (3, 2), (4, 2))
        for p in ("valid", "same")
    ),
    ("conv_transpose", (SEQUENCES, reals(3, 2, 4)), {"dilation_rate": 2}),
    (
        "conv_transpose",
        (IMAGES, reals(3, 3, 4, 3)),
        {"strides": 2, "padding": "same", "output_padding": 1},
    ),
]
PICTURES = [
    *(
        ("resize", (IMAGES, (4, 9)), {"interpolation": method, "antialias": method == "bicubic"})
        for method in ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")
    ),
    ("resize", (IMAGES, (14, 3)), {"interpolation": "bicubic"}),
    ("resize", (IMAGES[0], (3, 3))),
    ("resize", (IMAGES, (3, 9)), {"pad_to_aspect_ratio": True, "fill_value": 0.5}),
    ("resize", (IMAGES, (9, 3)), {"pad_to_aspect_ratio": True}),
    ("resize", (IMAGES, (3, 9)), {"crop_to_aspect_ratio": True}),
    ("resize", (IMAGES, (9, 3)), {"crop_to_aspect_ratio": True}),
    ("resize", (IMAGES.transpose(0, 3, 1, 2), (4, 9)), {"data_format": "channels_first"}),
    ("pad_images", (IMAGES, 1, 2), {"target_height": 10, "target_width": 12}),
    ("crop_images", (IMAGES, 1, 2), {"target_height": 4, "target_width": 3}),
    ("crop_images", (IMAGES,), {"top_cropping": 1, "bottom_cropping": 2, "left_cropping": 0,
                                "right_cropping": 3}),
    ("extract_patches", (IMAGES, (3, 2))),
    ("extract_patches", (IMAGES, 3, 2), {"padding": "same"}),
    ("extract_patches", (IMAGES, 2, 1), {"dilation_rate": 2}),
    ("extract_patches", (IMAGES[0], 2)),
    ("extract_patches_3d", (VOLUMES, (2, 3, 2))),
    ("affine_transform", (IMAGES, np.array([1.1, 0.2, -1, -0.1, 0.9, 0.5, 0, 0], "float32")[None]
                          .repeat(2, 0))),
    ("affine_transform", (IMAGES[0], np.array([0.8, 0, 1, 0.3, 1, 0, 0, 0], "float32")),
     {"interpolation": "nearest", "fill_mode": "reflect"}),
    ("map_coordinates", (A, positives(2, 5) * 4, 1)),
    ("map_coordinates", (A, positives(2, 5) * 4, 0), {"fill_mode": "nearest"}),
    ("gaussian_blur", (IMAGES, (3, 5), (0.8, 1.4)), {"data_format": "channels_last"}),
    ("sobel_edges", (IMAGES,)),
    ("rgb_to_grayscale", (IMAGES,)),
    ("rgb_to_hsv", (IMAGES,)),
    ("hsv_to_rgb", (IMAGES,)),
]  # fmt: skip

CASES = [
    *((name, (A,)) for name in FLOATING + SAME_TYPE),
    *((name, (N,)) for name in FLOATING + SAME_TYPE if name not in NOT_ON_WHOLES),
    *((name, (positives(3, 4),)) for name in POSITIVE),
    *((name, (WITH_NAN,)) for name in NAN_AWARE),
    *((name, (A, B)) for name in BINARY),
    *((name, (positives(3, 4), J)) for name in BINARY),
    *((name, (J, 2.5)) for name in MIXED),
    *((name, (positives(3, 1), ROW**2)) for name in MIXED),
    *((name, (J, N)) for name in WHOLE),
    *((name, (A,), {"axis": 1, "keepdims": True}) for name in REDUCTIONS),
    *((name, (A,), {"axis": -1}) for name in REDUCTIONS),
    *PRODUCTS,
    *SETTINGS,
    *WINDOWS,
    *PICTURES,
]


def find(package, name):
    return getattr(package, name, None) or getattr(package.image, name)


def compare(name, ours, theirs):
    ours, theirs = jax.tree.leaves(ours), jax.tree.leaves(theirs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        scale = np.abs(b[np.isfinite(b)]).max(initial=1e-6) if b.dtype.kind in "fc" else 1
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * min(scale, 1), err_msg=name)


# Their results, or what they return, depend on values: they are called one by one.
EAGER = words(
    "nonzero unique bincount repeat convert_to_numpy bartlett blackman hamming hanning kaiser"
)
# These answer at once, without a node.
ANSWERS = words("shape ndim size convert_to_numpy")
IN_PROGRAMS = [case for case in CASES if case[0] not in EAGER]
# Many calls in one compiled program take a tenth of the time of as many calls.
PROGRAMS = [IN_PROGRAMS[i : i + 40] for i in range(0, len(IN_PROGRAMS), 40)]


def call(package, case):
    name, args, kwargs = (*case, {})[:3]
    return find(package, name)(*args, **kwargs)


def results(cases):
    """The results of all calls, ours and Keras's, from one program whose arguments are the arrays.

    XLA compiles once what the two do in the same way.
    """
    leaves, structure = jax.tree.flatten(cases)
    arrays = {i: leaf for i, leaf in enumerate(leaves) if isinstance(leaf, np.ndarray)}

    def run(arrays):
        filled = [arrays.get(i, leaf) for i, leaf in enumerate(leaves)]
        rebuilt = jax.tree.unflatten(structure, filled)
        ours = [call(ops, case) for case in rebuilt]
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return ours, [call(keras.ops, case) for case in rebuilt]

    return jax.jit(run, compiler_options={"xla_backend_optimization_level": 0})(arrays)


@pytest.mark.parametrize("cases", PROGRAMS, ids=lambda cases: f"{cases[0][0]}..{cases[-1][0]}")
def test_values_and_promised_shapes(cases):
    for case, a, b in zip(cases, *results(cases)):
        compare(case[0], a, b)
        if case[0] not in ANSWERS and has_arrays(case[1][0]):
            promised = jax.tree.leaves(
                call(ops, (case[0], (symbolic(case[1][0]), *case[1][1:]), *case[2:]))
            )
            assert described(promised) == described(jax.tree.leaves(a)), case[0]


def has_arrays(tree):
    return any(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(tree))


def symbolic(tree):
    return jax.tree.map(lambda x: SymbolicTensor(x.shape, x.dtype) if has_arrays(x) else x, tree)


def described(arrays):
    return [(x.shape, x.dtype) for x in arrays]


@pytest.mark.parametrize("case", [c for c in CASES if c[0] in EAGER], ids=lambda case: case[0])
def test_value(case):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs = call(keras.ops, case)
    compare(case[0], call(ops, case), theirs)


def shared(ours, peer):
    return [n for n in dir(peer) if callable(getattr(peer, n)) and callable(getattr(ours, n, None))]


@pytest.mark.parametrize(
    "ours, peer",
    [(ops, keras.ops), (ops.image, keras.ops.image), (ops.linalg, keras.ops.linalg)],
    ids=["ops", "image", "linalg"],
)
def test_signatures(ours, peer):
    names = [n for n in shared(ours, peer) if not n.startswith("_")]
    assert len(names) > 10
    for name in names:
        if name == "extract_patches":  # images may also be called image, as in older scripts
            continue
        mine = parameters(getattr(ours, name))
        assert mine == parameters(getattr(peer, name)), name


def parameters(function):
    return [
        (p.name, p.default)
        for p in inspect.signature(function).parameters.values()
        if p.kind is not p.VAR_KEYWORD
    ]
