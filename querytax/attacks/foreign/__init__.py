"""Other people's attacks, through our meter: ART, Foolbox and torchattacks."""

from querytax.attacks.foreign.meter import BudgetSpent, Done, Metered, OutOfTime
from querytax.attacks.foreign.plan import ForeignPlan, foreign_plan
from querytax.attacks.foreign.run import foreign_attack
from querytax.attacks.foreign.table import BARRED, FOREIGN, Foreign

__all__ = [
    "BARRED",
    "FOREIGN",
    "BudgetSpent",
    "Done",
    "Foreign",
    "ForeignPlan",
    "Metered",
    "OutOfTime",
    "foreign_attack",
    "foreign_plan",
]
