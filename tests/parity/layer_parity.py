"""Layers beside Keras's: weights copied over, then outputs and gradients compared.

All cases of a file are compiled as one program for each library: one by one they take minutes.
"""

import jax
import jax.numpy as jnp
import keras
import numpy as np

from nacre.core.lift import lift
from nacre.layers.input import Input

# Compiling takes most of the time; the numbers do not depend on how well it is done.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(0, 0.5, shape).astype(np.float32)


def ours_and_theirs(layer, name, options, shape, call=None):
    """Two functions of (weights, x), and the weights, in the same order for both."""
    call = call or {}
    other = getattr(keras.layers, name)(**options)
    start_with_zeros(other)
    other.build((None, *shape[1:]))
    made = layer(**options)
    made(Input(shape[1:], batch_size=shape[0]))
    apply, params, state = lift(made, lambda x: made(x, **call))
    names = list(params)
    theirs = [v.path.rsplit("/", 1)[-1] for v in other.trainable_variables]
    assert [n.rsplit("/", 1)[-1] for n in names] == theirs
    weights = [normal(*v.shape, seed=i) for i, v in enumerate(other.trainable_variables)]
    assert [w.shape for w in weights] == [p.shape for p in params.values()]
    fixed = [v.value for v in other.non_trainable_variables]

    def ours(weights, x):
        return apply(dict(zip(names, weights)), state, x)[0]

    def keras_one(weights, x):
        return other.stateless_call(weights, fixed, x, **call)[0]

    return ours, keras_one, weights


def start_with_zeros(layer):
    """The weights are replaced anyway, and each initializer would be compiled by itself."""
    for part in (layer, getattr(layer, "cell", layer)):
        for attribute in vars(part):
            if attribute.endswith("_initializer"):
                setattr(part, attribute, keras.initializers.Zeros())


def everything(functions, arguments):
    """The outputs and gradients of each function, in one compiled program."""

    def one(function, weights, x):
        outputs, transpose = jax.vjp(lambda w, x: jax.tree.leaves(function(w, x)), weights, x)
        changes = [jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape) for y in outputs]
        return outputs, transpose(changes)

    def all_of_them(arguments):
        return [one(function, *a) for function, a in zip(functions, arguments)]

    return jax.jit(all_of_them, compiler_options=QUICK)(arguments)


def both(layers, cases):
    """For each case, what ours gives and what Keras's gives."""
    found = []
    for name, options, shape, *call in cases:
        found.append((*ours_and_theirs(layers[name], name, options, shape, *call), normal(*shape)))
    arguments = [(weights, x) for _, _, weights, x in found]
    ours = everything([f for f, _, _, _ in found], arguments)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        theirs = everything([f for _, f, _, _ in found], arguments)
    return list(zip(ours, theirs))


def assert_same(pair):
    """Equal to 1e-5 of the largest number of each array."""
    ours, theirs = map(jax.tree.leaves, pair)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert a.shape == b.shape
        scale = max(float(np.abs(b).max(initial=0)), 1e-3)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * scale)
