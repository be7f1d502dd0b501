"""Array functions with Keras's names and numbers, for arrays and for symbolic tensors.

They take JAX and NumPy arrays, lists, numbers and variables. On a symbolic tensor, as in the
functional API, they note a step of the model instead of computing.

Example:
    >>> from nacre import ops
    >>> ops.add([1, 2], 0.5).tolist()
    [1.5, 2.5]
"""

# Each name is listed once, in its own module's __all__.
from nacre.ops import image as image, linalg as linalg, nn as nn
from nacre.ops.control import *  # noqa: F403
from nacre.ops.creation import *  # noqa: F403
from nacre.ops.elementwise import *  # noqa: F403
from nacre.ops.indexing import *  # noqa: F403
from nacre.ops.linalg import *  # noqa: F403
from nacre.ops.nn import *  # noqa: F403
from nacre.ops.products import *  # noqa: F403
from nacre.ops.reductions import *  # noqa: F403
from nacre.ops.shaping import *  # noqa: F403
from nacre.ops.signal import *  # noqa: F403
from nacre.ops.windows import *  # noqa: F403
