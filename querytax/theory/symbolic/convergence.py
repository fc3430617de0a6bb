"""Where walks of fixed step length settle, and how long they take."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import Phi, phi
from querytax.theory.symbolic._numeric import Lattice, Root
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

drift, step, steps_, gain = sp.symbols("drift step steps gain", positive=True)
end = sp.Symbol("displacement", positive=True)
begin = sp.Symbol("start", nonnegative=True)
dimension = sp.Symbol("dimension", positive=True)
k = sp.Symbol("k", positive=True, integer=True)
_m, _top, _rate, _taken = sp.symbols("m L rate taken", positive=True)
_AT = {drift: sp.Rational(1, 3), step: sp.Rational(2, 7)}
# Walls that are no whole number of steps apart: 2/a = 5/2 and 7/2.
_BETWEEN = (
    {drift: sp.Rational(1, 3), step: sp.Rational(4, 5)},
    {drift: sp.Rational(2, 3), step: sp.Rational(4, 7)},
)


def _theta() -> sp.Expr:
    return sp.atanh(drift)


def _top_whole(length: sp.Expr) -> sp.Expr:
    wide = 1 + length / 2
    return wide * sp.coth((1 + 2 / length) * _theta()) - length / (2 * drift)


def _room_whole(length: sp.Expr) -> sp.Expr:
    n = 1 + 2 / length
    part = (1 - drift**2) / drift**2 - n**2 / sp.sinh(n * _theta()) ** 2
    return length**2 / 4 * part


def _neighbours() -> tuple[sp.Expr, sp.Expr]:
    count = sp.floor(2 / step)
    return 2 / count, 2 / (count + 1)


def _box() -> sp.Expr:
    """Linear in the step between those of which a whole number is 2."""
    long, short = _neighbours()
    share = (long - step) / (long - short)
    return (1 - share) * _top_whole(long) + share * _top_whole(short)


def _room() -> sp.Expr:
    """The mean square is 1 at no step and a parabola between the same two."""
    long, short = _neighbours()
    share = (long - step) / (long - short)

    def fall(length: sp.Expr) -> sp.Expr:
        return (1 - _top_whole(length) ** 2 - _room_whole(length)) / length

    fallen = (1 - share) * fall(long) + share * fall(short)
    return 1 - step * fallen - _box() ** 2


def _cubic(m: sp.Expr) -> sp.Expr:
    return 2 * drift * m**3 + step * m**2 - 2 * drift * m - step * drift**2


def _ball() -> sp.Expr:
    return Root(_cubic(_m), _m, drift, sp.S.One)


_i, _count = sp.symbols("i N", positive=True, integer=True)
_r = sp.Symbol("r", positive=True)


def _ladders() -> tuple[sp.Expr, sp.Expr]:
    """Weights of the sites that hang from the upper and the lower wall.

    Site i of each is N - i steps from its wall, i from 1 to N = 1 + floor(2/a); r is
    the chance of a step up over that of one down.
    """
    return _r**_i - 1, 1 - _r**-_i


def _chain() -> tuple[Equality, ...]:
    """The chances stand still under a step, from wall to wall."""
    high, low = _ladders()
    up, down = _r / (1 + _r), 1 / (1 + _r)

    def at(weight: sp.Expr, place: sp.Expr) -> sp.Expr:
        return weight.subs(_i, place)

    inner = up * at(high, _i - 1) + down * at(high, _i + 1)
    lower = down * at(low, _i - 1) + up * at(low, _i + 1)
    # The last site of either ladder is a step short of the other wall.
    top = up * (at(high, _count) + at(high, _count - 1) + at(low, 1))
    bottom = down * (at(low, _count) + at(low, _count - 1) + at(high, 1))
    cosine = up - down
    return (
        proved("its drift", sp.atanh(cosine).rewrite(sp.log).subs(_r, 4), sp.log(2)),
        proved("upper sites", inner, high),
        proved("lower sites", lower, low),
        proved("the upper wall", top, at(high, _count)),
        proved("the lower wall", bottom, at(low, _count)),
    )


def _moment(power: int, count: int) -> sp.Expr:
    ratio = (1 + drift) / (1 - drift)
    high, low = (weight.subs(_r, ratio) for weight in _ladders())
    mean, total = sp.S.Zero, sp.S.Zero
    for j in range(1, count + 1):
        place = 1 - (count - j) * step
        u, w = high.subs(_i, j), low.subs(_i, j)
        mean += place**power * u + (-place) ** power * w
        total += u + w
    return mean / total


def plateau(norm: str = "Linf") -> Derivation:
    """The stationary mean between two walls; the balance on a sphere."""
    if norm == "L2":
        m = sp.Symbol("m", positive=True)
        grown = 1 + 2 * step * drift * m + step**2
        return Derivation(
            _ball(),
            (
                proved(
                    "a step and its projection leave m where it is",
                    grown * m**2 - (m + step * drift) ** 2,
                    step * _cubic(m),
                ),
            ),
        )
    return Derivation(
        _box(),
        (
            *_chain(),
            checked("mean over the sites", _moment(1, 3), _box(), _BETWEEN[0]),
            checked("of more sites", _moment(1, 4), _box(), _BETWEEN[1]),
            checked("where 2/a is whole", _box(), _top_whole(step), _AT),
        ),
    )


def spread() -> Derivation:
    """The stationary variance between two walls."""
    found = _moment(2, 3) - _moment(1, 3) ** 2
    return Derivation(
        _room(),
        (
            *_chain(),
            checked("variance over the sites", found, _room(), _BETWEEN[0]),
            checked("where 2/a is whole", _room(), _room_whole(step), _AT),
        ),
    )


def _eigen() -> tuple[sp.Expr, sp.Expr]:
    n = 1 + 2 / step
    return n, sp.sqrt(1 - drift**2) * sp.cos(k * sp.pi / n)


def _amplitude() -> sp.Expr:
    """A_k: the eigenvector at the centre times its product with the place."""
    n, value = _eigen()
    turn, theta = k * sp.pi / n, _theta()
    centre = 2 * sp.sin(k * sp.pi / 2) * sp.cos(turn / 2) * sp.sinh(theta / 2)
    centre += 2 * sp.cos(k * sp.pi / 2) * sp.sin(turn / 2) * sp.cosh(theta / 2)
    walls = (-1) ** k * sp.exp(n * theta / 2) - sp.exp(-n * theta / 2)
    scale = step / n * (1 - drift**2) / 2 * sp.sin(turn) / (1 - value) ** 2
    return scale * centre * walls


def _path() -> sp.Expr:
    n, value = _eigen()
    part = sp.Piecewise((_amplitude() * value**_taken, k < n / 2), (sp.S.Zero, True))
    return _box() * (1 + Lattice(part, (k, 1, sp.oo)) / _top_whole(step))


def _box_free() -> sp.Expr:
    """Displacement to which no wall is within reach, or but for six deviations."""
    root = 2 / (6 + sp.sqrt(36 + 4 * drift / step))
    return sp.Max(drift, drift / step * root**2)


def _modes() -> tuple[Equality, ...]:
    """All modes of seven sites give the chain's mean, counted step by step."""
    a = sp.Rational(1, 3)
    up, down = (1 + drift) / 2, (1 - drift) / 2
    chances = [sp.S.Zero] * 7
    chances[3] = sp.S.One
    for _ in range(6):
        new = [sp.S.Zero] * 7
        for j, chance in enumerate(chances):
            new[min(j + 1, 6)] += up * chance
            new[max(j - 1, 0)] += down * chance
        chances = new
    mean = sum(((j - 3) * a * x for j, x in enumerate(chances)), sp.S.Zero)
    modes = sum(
        (_amplitude() * _eigen()[1] ** 6).subs(k, j).subs(step, a) for j in range(1, 7)
    )
    told = _top_whole(a) + modes
    return (checked("six steps over seven sites", told, mean, {drift: _AT[drift]}),)


def _relaxed(m: sp.Expr) -> sp.Expr:
    """Steps from 0 to m where the wall pushes back from the start."""
    return sp.log((1 + m * _top) / (1 - m / _top)) / _rate


def _ball_rate(top: sp.Expr) -> sp.Expr:
    grown = 1 + 2 * step * drift * top + step**2
    return -sp.log(1 / sp.sqrt(grown) - step * drift * top / grown)


def _ball_free() -> sp.Expr:
    length = sp.Min(step, 1)
    side = length * (1 - drift**2)
    return 2 * drift / (side + sp.sqrt(side**2 + 4 * drift**2))


def _pushed() -> tuple[Equality, ...]:
    grown = sp.sqrt(1 + 2 * step * drift * _m + step**2)
    slope = sp.diff((_m + step * drift) / grown, _m)
    told = (1 - step * drift * (_m + step * drift) / grown**2) / grown
    count = _m / (step * drift)
    side = sp.Symbol("side", positive=True)
    free = 2 * drift / (side + sp.sqrt(side**2 + 4 * drift**2))
    progress = _rate * (1 - _m / _top) * (1 + _m * _top) / (_top + 1 / _top)
    return (
        proved("slope of the map", slope, told),
        proved(
            "spread and way of a free walk",
            step**2 * (1 - drift**2) * count + _m**2,
            _m * (_m + step * (1 - drift**2) / drift),
        ),
        proved("where it meets the sphere", free * side / drift + free**2, 1),
        proved("steps for each distance", sp.diff(_relaxed(_m), _m), 1 / progress),
    )


def _free_steps(level: sp.Expr, start: sp.Expr) -> sp.Expr:
    return (level - start) / (drift * sp.Min(step, 1))


def steps(norm: str = "Linf") -> Derivation:
    """The free way, and from there the inverse of the mean path."""
    if norm == "L2":
        free, top = _ball_free(), _ball()
        flown = _free_steps(sp.Min(end, free), sp.Min(begin, free))
        late = _relaxed(sp.Max(end, free)) - _relaxed(sp.Max(begin, free))
        late = late.subs(_rate, _ball_rate(_top)).subs(_top, top)
        # Its one positive root: below it the cubic is negative.
        law = sp.Piecewise((flown + late, _cubic(end) < 0), (sp.oo, True))
        return Derivation(law, _pushed())
    free = _box_free()
    first = free / (drift * sp.Min(step, 1))

    def late_at(level: sp.Expr) -> sp.Expr:
        root = Root(_path() - level, _taken, first, 1000 * first)
        return sp.Piecewise((_free_steps(level, 0), level <= free), (root, True))

    law = sp.Piecewise((late_at(end) - late_at(begin), end < _box()), (sp.oo, True))
    return Derivation(law, _modes())


def displacement(norm: str = "Linf") -> Derivation:
    """The mean path itself."""
    if norm == "L2":
        free, top = _ball_free(), _ball()
        flight = free / (drift * sp.Min(step, 1))
        growth = sp.exp(_taken * _rate)
        path = _top * (growth - 1) / (growth + _top**2)
        later = path.subs(_taken, steps_ - flight + _relaxed(free))
        later = later.subs(_rate, _ball_rate(_top)).subs(_top, top)
        law = sp.Piecewise(
            (steps_ * sp.Min(step, 1) * drift, steps_ <= flight), (later, True)
        )
        at = {_top: sp.Rational(2, 3), _rate: sp.Rational(1, 5), _m: sp.Rational(2, 5)}
        told = path.subs(_taken, _relaxed(_m))
        return Derivation(
            law, (*_pushed(), checked("inverse of the steps", told, _m, at))
        )
    free = _box_free()
    flying = steps_ * sp.Min(step, 1) * drift
    later = sp.Max(free, sp.Min(flying, _path().subs(_taken, steps_)))
    return Derivation(sp.Piecewise((flying, flying <= free), (later, True)), _modes())


def first_passage() -> Derivation:
    """Closed on the free way; beyond it the equation of the mean time.

    There the law is known by its equation, and by its solution above the plateau.
    """
    scatter = sp.pi * gain**2 / 2
    noise = scatter * step**2 * (1 - drift**2) / dimension
    n = 1 + 2 / step
    room, width = _room(), sp.sqrt(scatter * _room() / dimension)
    pull = step**2 * (1 - drift * sp.coth(n * _theta())) / (2 * room)
    speed = drift * step
    x, s, h, g = sp.symbols("x s h g", positive=True)
    u = speed / (pull * width)
    begun = Phi(-u) / phi(u) / (pull * width)
    look = sp.sqrt(scatter * (1 - drift**2) / dimension) * step
    # -ζ(1/2)/√(2π), the mean overshoot of a walk.
    over = -sp.zeta(sp.Rational(1, 2)) / sp.sqrt(2 * sp.pi) * look
    fade = 2 * speed / noise

    def free(level: sp.Expr) -> sp.Expr:
        faded = (1 - sp.exp(-fade * level)) / fade
        return begun * faded + (level - faded) / speed

    level = end + over
    before = sp.Piecewise((sp.S.Zero, begin <= 0), (free(begin + over), True))
    law = sp.Piecewise(
        (free(level) - before, level <= _box_free()),
        (sp.Function("beyond")(level), True),
    )
    v, d, m = sp.symbols("v D m", positive=True)
    time = h * (1 - sp.exp(-2 * v * m / d)) * d / (2 * v)
    time += (m - (1 - sp.exp(-2 * v * m / d)) * d / (2 * v)) / v
    held = h * sp.exp(x**2 / 2) + sp.sqrt(2 * sp.pi) / (g * s) * (
        Phi(x) - sp.Rational(1, 2)
    ) * sp.exp(x**2 / 2)
    # x = (m - L)/s, b = -g s x and D = 2 g s²: g s h' - g s x h = 1.
    flow = g * s * sp.diff(held, x) - g * s * x * held
    return Derivation(
        law,
        (
            proved(
                "the free way",
                sp.simplify(d / 2 * sp.diff(time, m, 2) + v * sp.diff(time, m)),
                1,
            ),
            proved("its slope at the centre", sp.diff(time, m).subs(m, 0), h),
            proved("above the plateau", sp.simplify(flow), 1),
        ),
    )
