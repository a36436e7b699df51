"""The one theme: quiet greys, one accent, system fonts, light and dark."""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils.colors import Color

_SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
_MONO = ["ui-monospace", "SF Mono", "Menlo", "Consolas", "monospace"]

# A muted verdigris.
_ACCENT = Color(
    name="verdigris",
    c50="#f1f7f6",
    c100="#dcebe9",
    c200="#bbd8d4",
    c300="#90bdb8",
    c400="#669f99",
    c500="#4a847e",
    c600="#386b66",
    c700="#2f5753",
    c800="#294845",
    c900="#243d3a",
    c950="#122322",
)
# Greys without a tint, so that colours in the picture are judged against nothing.
_GREY = Color(
    name="stone",
    c50="#fafafa",
    c100="#f3f3f3",
    c200="#e4e4e4",
    c300="#d0d0d0",
    c400="#a0a0a0",
    c500="#6c6c6c",
    c600="#555555",
    c700="#404040",
    c800="#2c2c2c",
    c900="#1f1f1f",
    c950="#171717",
)


def make_theme() -> gr.themes.Base:
    """The theme for `launch`.  System fonts only: a web font would be a request to another host."""
    theme = gr.themes.Base(
        primary_hue=_ACCENT,
        secondary_hue=_ACCENT,
        neutral_hue=_GREY,
        text_size="sm",
        spacing_size="sm",
        radius_size="sm",
        font=_SANS,
        font_mono=_MONO,
    )
    return theme.set(
        body_text_color_subdued="*neutral_500",
        body_background_fill="*neutral_100",
        body_background_fill_dark="*neutral_900",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_300",
        block_title_text_weight="500",
        block_shadow="none",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_shadow_focus="0 0 0 1px *primary_500",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="white",
        button_secondary_background_fill="*neutral_200",
        button_secondary_background_fill_hover="*neutral_300",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        slider_color="*primary_500",
        checkbox_label_background_fill="white",
        checkbox_label_background_fill_dark="*neutral_800",
    )
