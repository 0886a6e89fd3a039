"""A server for laptops and tests that speaks TensorFlow Serving's protocols.

`adapters_tf.export.server.local_server.LocalServer` is the entry; the program is
`adapters-tf-serve`. In production, run TensorFlow Serving on the same directory.
"""
