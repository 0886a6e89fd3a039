"""The figures of a report, drawn with Matplotlib without a display."""
