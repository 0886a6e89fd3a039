"""A server for laptops and tests with TensorFlow Serving's gRPC and REST APIs.

Start with `adapters_tf.export.server.local_server.LocalServer`, or with the program
`adapters-tf-serve`. In production, run TensorFlow Serving on the same directory.
"""
