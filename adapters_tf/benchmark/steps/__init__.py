"""Steps of training and inference, ours and the peer's, taking turns."""
