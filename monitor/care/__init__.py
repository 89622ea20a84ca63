"""Care of the files: backup, restore, and the doctor, over both of them.

It knows the two files of a data directory, their schemas and their markers, and no server: the
commands work whether or not one runs, except that a restore wants the directory for itself.
"""
