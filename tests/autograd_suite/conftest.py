# the shim is for the interpreter that runs autograd's tests, and its test_util.py is no test
collect_ignore = ["shim"]
