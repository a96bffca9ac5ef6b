"""Large integers, generators, recursion, exceptions, float formatting, comprehensions."""
import hashlib
from functools import lru_cache, reduce
from itertools import count, islice


def pi_digits():
    q, r, t, k, n, m = 1, 0, 1, 1, 3, 3
    while True:
        if 4 * q + r - t < n * t:
            yield n
            q, r, n = 10 * q, 10 * (r - n * t), (10 * (3 * q + r)) // t - 10 * n
        else:
            q, r, t, k, n, m = (q * k, (2 * q + r) * m, t * m, k + 1,
                                (q * (7 * k + 2) + r * m) // (t * m), m + 2)


def primes():
    composites = {}
    for n in count(2):
        found = composites.pop(n, None)
        if found is None:
            composites[n * n] = n
            yield n
        else:
            step = n + found
            while step in composites:
                step += found
            composites[step] = found


@lru_cache(maxsize=None)
def ways(total, largest):
    if total == 0:
        return 1
    return sum(ways(total - part, part) for part in range(1, min(total, largest) + 1))


print("".join(map(str, islice(pi_digits(), 600))))
print(sum(islice(primes(), 5000)), ways(90, 90))
big = reduce(lambda a, b: a * b, range(1, 1500))
print(hashlib.sha256(str(big).encode()).hexdigest(), big.bit_length(), pow(3, big, 2**127 - 1))
print([f"{x / 7:.3f}" for x in range(5)], f"{1e300 * 1e10} {float('nan')} {-0.0}", divmod(-7, 3))
try:
    {}["missing"]
except KeyError as error:
    print("KeyError", error)
