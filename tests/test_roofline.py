"""The roofline: the bytes of native kernels in a program's text, and labels that can be read."""

import itertools
import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks.roofline import kernel_bytes
from benchmarks.roofline_plot import Box, Point, Roof, draw, labelled


def test_bytes_of_kernels_are_those_of_their_operands_and_results():
    text = """HloModule jit_step, entry_computation_layout={(f32[128,784]{1,0})->f32[]}

ENTRY %main (x: f32[128,784], w: f32[784,512]) -> f32[] {
  %x.1 = f32[128,784]{1,0} parameter(0)
  %w = f32[784,512]{1,0} parameter(1)
  %y = f32[128,512]{1,0} custom-call(%x.1, %w), custom_call_target="nacre_product", operand_layout_constraints={f32[128,784]{1,0}, f32[784,512]{1,0}}
  %sum = f32[] fusion(%y), kind=kLoop, calls=%fused
  ROOT %both = (bf16[6,7]{1,0}, /*index=1*/u8[6,7]{1,0}, pred[]) custom-call(%sum, /*index=1*/%y), output_to_operand_aliasing={{0}: (1, {})}
}
"""  # noqa: E501 - as XLA prints it
    product = 4 * (128 * 784 + 784 * 512 + 128 * 512)
    assert kernel_bytes(text) == product + (2 + 1) * 42 + 1 + 4 * (1 + 128 * 512)


def test_a_roof_is_the_lower_of_two_bounds():
    roof = Roof(operations=200.0, bytes=10.0)
    assert roof.ridge == 20
    assert [roof.at(intensity) for intensity in (1, 20, 100)] == [10, 200, 200]


def test_labels_keep_clear_of_points_and_of_each_other():
    places = [(300.0 + 9 * i, 200.0 + 5 * (i % 3)) for i in range(8)]
    wall = Box(250, 150, 420, 180)
    boxes = labelled(["network_of_some"] * 8, places, [wall])
    points = [Box.around(x, y, 5, 5) for x, y in places]
    assert len(boxes) == 8
    assert not any(a.meets(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(box.meets(other) for box in boxes for other in [wall, *points])


@pytest.mark.parametrize("points", [[], [Point("a<b", 3e9, 1e8, 0.05), Point("c", 9e9, 5e9, 1.0)]])
def test_the_drawing_is_an_image_with_every_point(points):
    image = ElementTree.fromstring(draw(Roof(2e11, 1e10), points, "A & B", "here"))
    circles = [node for node in image.iter() if node.tag.endswith("circle")]
    shown = [node.text for node in image.iter() if node.get("class") == "name"]
    assert len(circles) == len(points)
    assert shown == [point.name for point in points]
