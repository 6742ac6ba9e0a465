"""Real clicks on the graph: one node, a second click, shift+click, and where picks come from."""

import json
import os
import subprocess
import sys
from urllib.parse import urlencode

import pytest

from tests.browser.conftest import PLOT, ROOT
from tests.ui.conftest import QUERY

pytestmark = pytest.mark.browser

CIRCUIT = urlencode(QUERY)


@pytest.fixture
def strongest(told):
    """Nodes from the largest effect down."""
    return sorted(told, key=lambda node: -abs(told[node]["delta"]))


def test_a_click_looks_at_a_node_and_changes_nothing(explorer, told, strongest):
    explorer.open(CIRCUIT)
    before = explorer.metric("Task loss")
    explorer.click(strongest[0])
    explorer.card(strongest[0])
    assert explorer.metric("Task loss") == before
    assert explorer.query("nodes") == []
    assert explorer.query("selected") == [strongest[0]]
    explorer.page.locator(".st-key-cut_selected button").first.click()
    explorer.without(strongest[0])
    assert explorer.delta() == pytest.approx(told[strongest[0]]["delta"], abs=1e-4)
    explorer.page.keyboard.press("a")
    explorer.whole()
    assert explorer.query("nodes") == []


def test_a_link_to_what_is_looked_at_shows_its_card_and_a_ring(explorer, strongest):
    explorer.open(f"{CIRCUIT}&selected={strongest[0]}")
    explorer.card(strongest[0])
    data = f"document.querySelector('{PLOT}').data"
    ring = explorer.page.evaluate(f"[{data}[4].x[0], {data}[4].y[0]]")
    place = (
        f"(i => [{data}[0].x[i], {data}[0].y[i]])({data}[0].customdata.indexOf('{strongest[0]}'))"
    )
    assert ring == explorer.page.evaluate(place)


def test_the_node_under_the_mouse_lights_its_edges_and_neighbours_with_no_word_to_the_server(
    explorer, strongest
):
    explorer.open(CIRCUIT)
    near = explorer.page.evaluate(
        f"""name => {{ const {{ customdata, meta: {{ joins }} }} =
        document.querySelector('{PLOT}').data[0], at = customdata.indexOf(name);
        return new Set(joins.from.flatMap((a, i) => [a, joins.to[i]].includes(at)
          ? [a, joins.to[i]] : [])).size; }}""",
        strongest[0],
    )
    sent = explorer.page.evaluate("wire.sent")
    explorer.page.mouse.move(*explorer.pixel(strongest[0]))
    explorer.page.wait_for_selector(f"{PLOT}[data-lit='{near}']")
    assert explorer.page.locator(f"{PLOT} .point.lit").count() == near > 1
    assert explorer.page.evaluate("wire.sent") == sent
    explorer.page.mouse.move(5, 5)
    explorer.page.wait_for_selector(f"{PLOT}:not([data-lit])")
    assert explorer.page.locator(f"{PLOT} .circuit-light").count() == 0


@pytest.mark.parametrize(
    ("width", "height", "share"), [(1280, 900, 0.45), (2560, 1400, 0.5), (390, 844, 0.3)]
)
def test_the_graph_has_its_share_of_the_window(explorer, width, height, share):
    explorer.page.set_viewport_size({"width": width, "height": height})
    explorer.open(CIRCUIT)
    box = explorer.page.locator(PLOT).bounding_box()
    assert box["width"] * box["height"] >= share * width * height
    assert box["x"] + box["width"] <= width


def test_a_double_click_shows_the_delta_that_the_command_line_gives(explorer, told, strongest):
    explorer.open(CIRCUIT)
    assert set(explorer.names()) == set(told)
    for node in (strongest[0], strongest[len(strongest) // 3]):
        explorer.cut(node)
        explorer.without(node)
        loss, _ = explorer.metric("Task loss")
        assert loss == pytest.approx(told[node]["loss"], abs=1e-4)
        assert explorer.delta() == pytest.approx(told[node]["delta"], abs=1e-4)
        assert explorer.marked() == [node]
        assert explorer.query("nodes") == [node]
        explorer.cut(node)
        explorer.whole()


def test_a_second_double_click_restores_the_node(explorer, strongest):
    explorer.open(CIRCUIT)
    before = explorer.metric("Task loss")
    explorer.cut(strongest[0])
    explorer.without(strongest[0])
    explorer.cut(strongest[0])
    explorer.whole()
    assert explorer.metric("Task loss") == before
    assert explorer.marked() == []
    assert explorer.query("nodes") == []


def test_shift_clicks_make_a_set_and_take_nodes_out_of_it(explorer, strongest, app_cache):
    first, second, third = strongest[:3]
    explorer.open(CIRCUIT)
    explorer.cut(first)
    explorer.without(first)
    explorer.click(second, shift=True)
    explorer.without("2 nodes")
    explorer.click(third, shift=True)
    explorer.without("3 nodes")
    assert explorer.marked() == [first, second, third]
    assert explorer.delta() == pytest.approx(set_delta(app_cache, first, second, third), abs=1e-4)
    explorer.click(second, shift=True)
    explorer.without("2 nodes")
    assert explorer.query("nodes") == [first, third]
    explorer.cut(second)
    explorer.without("3 nodes")
    assert explorer.marked() == [first, third, second]


def test_a_link_restores_the_set_and_clicks_go_on_from_there(explorer, strongest):
    first, second, third = strongest[:3]
    explorer.open(f"{CIRCUIT}&{urlencode({'nodes': [first, second]}, doseq=True)}")
    explorer.without("2 nodes")
    assert explorer.marked() == [first, second]
    explorer.click(third, shift=True)
    explorer.without("3 nodes")
    assert explorer.query("nodes") == [first, second, third]


def test_a_double_click_on_the_one_node_of_a_link_restores_it(explorer, strongest):
    explorer.open(f"{CIRCUIT}&nodes={strongest[0]}")
    explorer.without(strongest[0])
    explorer.cut(strongest[0])
    explorer.whole()
    assert explorer.marked() == []


def test_a_neighbour_is_one_click_away_and_zoom_survives(explorer, told):
    explorer.open(CIRCUIT)
    zoom = "document.querySelector('{}').layout.xaxis.range"
    explorer.page.evaluate(
        f"Plotly.relayout(document.querySelector('{PLOT}'), {{'xaxis.range': [0.1, 0.9]}})"
    )
    node = next(name for name in explorer.names() if ".mlp.post_act:" in name)
    explorer.cut(node)
    explorer.without(node)
    neighbour = explorer.page.locator("[data-testid=stButton] button:has-text('mlp.act_in')").first
    name = neighbour.locator("code").inner_text()
    neighbour.click()
    explorer.card(name)
    assert explorer.marked() == [node]
    assert explorer.page.evaluate(zoom.format(PLOT)) == [0.1, 0.9]


def test_the_search_field_switches_nodes_off_by_keyboard(explorer, strongest):
    explorer.open(CIRCUIT)
    explorer.page.locator(".st-key-nodes input").focus()
    explorer.page.keyboard.type(strongest[0])
    explorer.page.keyboard.press("Enter")
    explorer.without(strongest[0])
    assert explorer.marked() == [strongest[0]]


def test_a_ticked_row_of_the_table_is_marked_in_the_graph_and_the_other_way_round(explorer):
    explorer.open(CIRCUIT)
    explorer.tab("Tables")
    explorer.page.locator("summary", has_text="nodes as a table").click()
    table = explorer.page.locator("[data-testid=stDataFrame] canvas").first
    table.scroll_into_view_if_needed()
    row = 2
    table.click(position={"x": 20, "y": 35 * (row + 1) + 17}, force=True)  # a scroller lies over
    name = explorer.names()[row]
    explorer.without(name)
    assert explorer.marked() == [name]
    explorer.click(explorer.names()[0], shift=True)
    explorer.without("2 nodes")
    ticked = "[data-testid=stDataFrame] canvas tr[aria-selected=true]"
    explorer.page.wait_for_function(f"document.querySelectorAll('{ticked}').length === 2")


def test_picks_outlast_a_change_of_page(explorer, strongest):
    explorer.open(f"{CIRCUIT}&nodes={strongest[0]}")
    explorer.without(strongest[0])
    explorer.page.get_by_role("link", name="Your prompt").click()
    explorer.page.wait_for_selector("h4:has-text('Circuit without')")
    explorer.wait_until_idle()
    explorer.page.get_by_role("link", name="Circuit", exact=True).click()
    explorer.without(strongest[0])
    assert explorer.query("nodes") == [strongest[0]]


def set_delta(cache, *nodes):
    arguments = ["ablate", *QUERY.values(), *nodes, "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "circuit_sparsity", *arguments],
        cwd=ROOT,
        env=os.environ | {"CIRCUIT_SPARSITY_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)["set_delta"]


def test_one_block_is_drawn_alone_and_a_link_restores_it(explorer, told):
    explorer.open(f"{CIRCUIT}&{urlencode({'block': 'attention 0'})}")
    inside = [node for node in told if node.startswith("0.attn.")]
    assert sorted(explorer.names()) == sorted(inside)
    explorer.cut(inside[0])
    explorer.without(inside[0])
    assert explorer.query("block") == ["attention 0"]
