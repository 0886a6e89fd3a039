"""The files to serve a servable with the stock TensorFlow Serving."""
