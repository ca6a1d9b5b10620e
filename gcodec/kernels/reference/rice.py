"""Rice parameters."""


def rice_fit(jobs, symbols, limit, parameters, high_bits):
    """Smallest parameter up to `limit` that costs least, and the unary bits, of each job."""
    for job, (_, _, first, count, *_) in enumerate(jobs.tolist()):
        values = symbols[first : first + count].tolist()
        highs = [count + sum(value >> k for value in values) for k in range(limit + 1)]
        costs = [count * k + high for k, high in enumerate(highs)]
        parameters[job] = costs.index(min(costs))
        high_bits[job] = highs[parameters[job]]
