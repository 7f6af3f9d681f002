from eomtlib.data.decoding.compiled import compiled


def test_a_loop_whose_result_cannot_be_kept_is_compiled_all_the_same():
    # Numba keeps results by source file, and this function has none.
    names = {}
    exec("def add(a, b):\n    return a + b", names)
    assert compiled(names["add"])(2, 3) == 5
