"""The layers: one file an idea; each file's ``__all__`` lists its public names."""

from nacre.core.layer import Layer as Layer
from nacre.layers.activation import (
    ELU as ELU,
    Activation as Activation,
    LeakyReLU as LeakyReLU,
    PReLU as PReLU,
    ReLU as ReLU,
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
    Average as Average,
    Concatenate as Concatenate,
    Maximum as Maximum,
    Minimum as Minimum,
    Multiply as Multiply,
    Subtract as Subtract,
    add as add,
    average as average,
    concatenate as concatenate,
    maximum as maximum,
    minimum as minimum,
    multiply as multiply,
    subtract as subtract,
)
from nacre.layers.normalization import BatchNormalization as BatchNormalization
from nacre.layers.normalization import LayerNormalization as LayerNormalization
from nacre.layers.reshaping import (
    Flatten as Flatten,
    Permute as Permute,
    RepeatVector as RepeatVector,
    Reshape as Reshape,
)
