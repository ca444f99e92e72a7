"""Look-ups over an ontology's terms, built once."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from knowledge.ontology.names import fold, local_name
from knowledge.ontology.terms import OntologyClass, OntologyProperty

type Term = OntologyClass | OntologyProperty

_CURIE = re.compile(r"[\w.-]*:(?!//)(\S+)")
