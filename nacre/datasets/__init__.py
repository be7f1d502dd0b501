"""The well-known data sets: found, or downloaded and checked, then parsed into NumPy arrays."""

from nacre.datasets import (
    airline_passengers as airline_passengers,
    boston_housing as boston_housing,
    cifar10 as cifar10,
    cifar100 as cifar100,
    daily_min_temperatures as daily_min_temperatures,
    digits as digits,
    fashion_mnist as fashion_mnist,
    imdb as imdb,
    iris as iris,
    mnist as mnist,
    spoken_digits as spoken_digits,
    titanic as titanic,
)
