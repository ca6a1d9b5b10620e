"""What rows of a count-sketch say together: medians, and what they agree on."""

from .jit import helper, inner


@inner
def reduce_rows(gathered, count, agree, out):
    """One number of those that all rows say of a position; zero is +0."""
    rows = gathered.shape[0]
    if agree and rows == 2:
        _agree_of_two(gathered[0], gathered[1], count, out)
    elif agree and rows == 3:
        _agree_of_three(gathered[0], gathered[1], gathered[2], count, out)
    elif agree:
        _agree(gathered, count, out)
    elif rows == 1:
        _plus_zero(gathered[0], count, out)
    elif rows == 3:
        _median_of_three(gathered[0], gathered[1], gathered[2], count, out)
    elif rows == 5:
        _median_of_five(gathered[0], gathered[1], gathered[2], gathered[3], gathered[4], count, out)
    else:
        _median_of_seven(gathered, count, out)


@inner
def _agree_of_two(a, b, count, out):
    zero = out.dtype.type(0)
    for i in range(count):
        low, high = _smaller(a[i], b[i]), _larger(a[i], b[i])
        least = low if low > zero else zero
        out[i] = high if high < zero else least


@inner
def _agree_of_three(a, b, c, count, out):
    zero = out.dtype.type(0)
    for i in range(count):
        low = _smaller(_smaller(a[i], b[i]), c[i])
        high = _larger(_larger(a[i], b[i]), c[i])
        least = low if low > zero else zero
        out[i] = high if high < zero else least


@inner
def _agree(gathered, count, out):
    zero = out.dtype.type(0)
    high = gathered[0]  # becomes the largest of all rows, and `out` the least
    for i in range(count):
        out[i] = high[i]
    for row in range(1, gathered.shape[0]):
        _least_and_largest(gathered[row], count, out, high)
    for i in range(count):
        least = out[i] if out[i] > zero else zero
        out[i] = high[i] if high[i] < zero else least


@inner
def _least_and_largest(numbers, count, low, high):
    for i in range(count):
        x = numbers[i]
        low[i] = _smaller(low[i], x)
        high[i] = _larger(high[i], x)


# Comparisons without a rule for NaN, which are one instruction each; cells are numbers.


@helper
def _smaller(a, b):
    return a if a < b else b


@helper
def _larger(a, b):
    return a if a > b else b


@helper
def _middle(a, b, c):
    return _larger(_smaller(a, b), _smaller(_larger(a, b), c))


@inner
def _plus_zero(a, count, out):
    zero = out.dtype.type(0)
    for i in range(count):
        out[i] = a[i] + zero


@inner
def _median_of_three(a, b, c, count, out):
    zero = out.dtype.type(0)
    for i in range(count):
        out[i] = _middle(a[i], b[i], c[i]) + zero


@inner
def _median_of_five(a, b, c, d, e, count, out):
    zero = out.dtype.type(0)
    for i in range(count):
        low = _larger(_smaller(a[i], b[i]), _smaller(c[i], d[i]))
        high = _smaller(_larger(a[i], b[i]), _larger(c[i], d[i]))
        out[i] = _middle(low, high, e[i]) + zero


@inner
def _median_of_seven(gathered, count, out):
    """The two that are neither among the least nor the largest of six go; five are left."""
    a, b, c, d = gathered[0], gathered[1], gathered[2], gathered[3]
    e, f, g = gathered[4], gathered[5], gathered[6]
    zero = out.dtype.type(0)
    for i in range(count):
        p, q = _smaller(a[i], b[i]), _larger(a[i], b[i])
        r, s = _smaller(c[i], d[i]), _larger(c[i], d[i])
        t, u = _smaller(e[i], f[i]), _larger(e[i], f[i])
        # The least of the lesser and the largest of the larger of three pairs are not the median.
        x, y = _larger(p, r), _smaller(p, r)
        least_gone, v = _larger(y, t), x
        z, w = _smaller(q, s), _larger(q, s)
        most_gone, o = _smaller(w, u), z
        low = _larger(_smaller(least_gone, v), _smaller(most_gone, o))
        high = _smaller(_larger(least_gone, v), _larger(most_gone, o))
        out[i] = _middle(low, high, g[i]) + zero
