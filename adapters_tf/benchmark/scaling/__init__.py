"""How costs grow with the sizes of inputs, adapters and servables."""
