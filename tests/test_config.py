"""Settings, and the precision policy under its two names."""

from __future__ import annotations

import pytest

from nacre import config, mixed_precision, ops
from nacre.core.errors import ArgumentError


@pytest.fixture(autouse=True)
def as_before():
    yield
    config.set_epsilon(1e-7)
    config.set_dtype_policy("float32")


def test_what_it_is():
    assert config.backend() == "jax"
    assert config.image_data_format() == "channels_last"
    assert config.floatx() == "float32"
    config.set_image_data_format("channels_last")
    with pytest.raises(ArgumentError, match="transpose"):
        config.set_image_data_format("channels_first")


def test_the_smallest_number_serves_the_operations():
    assert config.epsilon() == 1e-7
    config.set_epsilon(0.25)
    assert ops.binary_crossentropy([1.0], [0.0]).tolist() == pytest.approx([1.386294])


def test_the_default_type_serves_the_operations():
    config.set_floatx("float16")
    assert ops.zeros(2).dtype == ops.sqrt(4).dtype == ops.array([1.5]).dtype == "float16"


def test_policies():
    mixed_precision.set_global_policy("mixed_bfloat16")
    policy = config.dtype_policy()
    assert policy is mixed_precision.global_policy()
    assert isinstance(policy, mixed_precision.Policy)
    assert (policy.compute_dtype, policy.variable_dtype) == ("bfloat16", "float32")
    mixed_precision.set_global_policy(mixed_precision.Policy("float32"))
    assert config.dtype_policy().compute_dtype == "float32"


def test_a_policy_may_loosen_products():
    config.set_dtype_policy("bf16x3")
    policy = config.dtype_policy()
    assert (policy.name, policy.precision) == ("bf16x3", "bf16x3")
    assert (policy.compute_dtype, policy.variable_dtype) == ("float32", "float32")
    assert config.floatx() == "float32"
    assert repr(policy) == "DTypePolicy('bf16x3')"
    assert mixed_precision.Policy("mixed_bfloat16").precision == "float32"
    with pytest.raises(ArgumentError, match="bf16x3"):
        config.set_dtype_policy("mixed_bf16x3")
