"""The CPU's fast paths: operators in C++, and the layouts of weights that they want.

Building them needs no MindSpore, so that it can go on while MindSpore is imported.
"""
