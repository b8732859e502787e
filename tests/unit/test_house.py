"""The drawings of docs/architecture.md are what the code imports."""

import house
import pytest


def test_the_drawings_show_the_imports():
    page = house.PAGE.read_text()
    assert page == house.written(page, house.parts()), "make format draws docs/architecture.md anew"


def test_every_room_of_a_drawing_is_explained():
    page = house.PAGE.read_text()
    for within in ("flipnb", "flipnb.enclave"):
        rooms = house.rooms(house.graph(), within)
        unexplained = [room for room in rooms if f"`{room}`" not in page]
        assert not unexplained


def test_what_follows_from_other_arrows_is_not_drawn():
    assert house.drawn({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {("a", "b"), ("b", "c")}


def test_a_circle_is_named():
    with pytest.raises(ValueError, match="circle: a, b"):
        house.drawn({"a": {"b"}, "b": {"a"}, "c": {"a"}})
