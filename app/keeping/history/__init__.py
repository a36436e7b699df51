"""The pictures that were made: rows about files, never instead of them.

facts      what is known of a picture: from its request, or from its file alone
rows       the tables, and how facts get into them
query      what somebody looks for, as SQL
boards     stars and boards
trash      deleting, undoing that, and emptying
scan       files moved, deleted, changed or added from outside
thumbs     small copies
export     many pictures as one zip
history    all of it together
"""

from app.keeping.history.facts import Entry
from app.keeping.history.history import History
from app.keeping.history.query import Query
from app.keeping.library import OWNER

__all__ = ["OWNER", "Entry", "History", "Query"]
