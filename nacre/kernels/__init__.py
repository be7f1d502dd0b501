"""Differentiable operations where XLA alone falls short: convolution, pooling, recurrence.

On a CPU, each has a form here that is as fast inside a compiled loop as outside. On GPUs and TPUs
they are XLA's own operations. Which one runs is decided where the program is compiled.
"""

from nacre.kernels.convolution import (
    convolution as convolution,
    convolution_transpose as convolution_transpose,
)
from nacre.kernels.linear import linear as linear
from nacre.kernels.meanings import MEANINGS as MEANINGS
from nacre.kernels.normalization import batch_normalization as batch_normalization
from nacre.kernels.pooled_convolution import convolution_max_pool as convolution_max_pool
from nacre.kernels.pooling import average_pool as average_pool, max_pool as max_pool
from nacre.kernels.recurrent import gru as gru, lstm as lstm, simple_rnn as simple_rnn
from nacre.kernels.selection import bfloat16_units as bfloat16_units, in_use as in_use
