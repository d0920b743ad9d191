"""Pictures: legends stand where no curve is, axes say what they show, counts of events are those of the flow."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from refimpl import LeakyReLU, TwoLayerNetwork, datasets, gaussian_weights, gradient_descent, gradient_flow
from verification import plots


@pytest.fixture(scope="module")
def drawn():
    network = TwoLayerNetwork.with_signs(3, 2, LeakyReLU(0.2))
    data = datasets.gaussian(6, 8, np.random.default_rng(0))
    W0 = gaussian_weights(5, 8, 1.0, np.random.default_rng(1))
    flow = gradient_flow(network, data, W0)
    descent = gradient_descent(network, data, W0, 0.5, 60)
    return flow, {"flow": plots.flow_figure(flow), "descent": plots.descent_figure(descent)}


@pytest.mark.parametrize("name", ["flow", "descent"])
def test_no_legend_lies_on_axes(drawn, name) -> None:
    figure = drawn[1][name]
    FigureCanvasAgg(figure).draw()
    legends = [axis.get_legend() for axis in figure.axes if axis.get_legend() is not None]
    assert len(legends) >= 2
    for legend in legends:
        box = legend.get_window_extent()
        assert not any(box.overlaps(axis.get_window_extent()) for axis in figure.axes)


@pytest.mark.parametrize("name", ["flow", "descent"])
def test_both_axes_say_what_they_show(drawn, name) -> None:
    for axis in drawn[1][name].axes:
        bar = axis.get_label() == "<colorbar>"
        twin = axis.get_title() == "" and not bar
        assert bar or axis.get_ylabel()
        assert bar or twin or axis.get_xlabel()


def test_events_are_counted_to_the_end_of_the_flow(drawn) -> None:
    flow, figures = drawn
    counts = next(axis for axis in figures["flow"].axes if axis.get_ylabel() == "events so far")
    found = {line.get_label().split(" (")[0]: line.get_xydata()[-1].tolist() for line in counts.get_lines()}
    kinds = {event.kind for event in flow.events}
    assert len(kinds) >= 2
    end = float(flow.trajectory.s[-1])
    assert found == {kind: [end, sum(event.kind == kind for event in flow.events)] for kind in kinds}
