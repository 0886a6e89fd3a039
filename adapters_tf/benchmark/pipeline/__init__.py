"""The input pipeline: its speed, how little it pads, and how random its order is."""
