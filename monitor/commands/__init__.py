"""Commands of the command line, a subject each; `monitor.__main__` gathers them."""
