"""The research study: model variants compared, probed and measured; not installed."""
