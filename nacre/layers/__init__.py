"""The layers: one file an idea; each file's ``__all__`` lists its public names."""

from nacre.core.layer import Layer as Layer
from nacre.layers.activation import (
    ELU as ELU,
)
from nacre.layers.activation import (
    Activation as Activation,
)
from nacre.layers.activation import (
    LeakyReLU as LeakyReLU,
)
from nacre.layers.activation import (
    PReLU as PReLU,
)
from nacre.layers.activation import (
    ReLU as ReLU,
)
from nacre.layers.activation import (
    Softmax as Softmax,
)
from nacre.layers.dense import Dense as Dense
from nacre.layers.dropout import Dropout as Dropout
from nacre.layers.embedding import Embedding as Embedding
from nacre.layers.input import Input as Input
from nacre.layers.input import InputLayer as InputLayer
from nacre.layers.lambda_layer import Identity as Identity
from nacre.layers.lambda_layer import Lambda as Lambda
from nacre.layers.merging import (
    Add as Add,
)
from nacre.layers.merging import (
    Average as Average,
)
from nacre.layers.merging import (
    Concatenate as Concatenate,
)
from nacre.layers.merging import (
    Maximum as Maximum,
)
from nacre.layers.merging import (
    Minimum as Minimum,
)
from nacre.layers.merging import (
    Multiply as Multiply,
)
from nacre.layers.merging import (
    Subtract as Subtract,
)
from nacre.layers.merging import (
    add as add,
)
from nacre.layers.merging import (
    average as average,
)
from nacre.layers.merging import (
    concatenate as concatenate,
)
from nacre.layers.merging import (
    maximum as maximum,
)
from nacre.layers.merging import (
    minimum as minimum,
)
from nacre.layers.merging import (
    multiply as multiply,
)
from nacre.layers.merging import (
    subtract as subtract,
)
from nacre.layers.normalization import BatchNormalization as BatchNormalization
from nacre.layers.normalization import LayerNormalization as LayerNormalization
from nacre.layers.reshaping import (
    Flatten as Flatten,
)
from nacre.layers.reshaping import (
    Permute as Permute,
)
from nacre.layers.reshaping import (
    RepeatVector as RepeatVector,
)
from nacre.layers.reshaping import (
    Reshape as Reshape,
)
