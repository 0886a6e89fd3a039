"""Files to serve a servable with the stock TensorFlow Serving."""
