"""`launch.py users`: who may enter a page that others can reach."""

from __future__ import annotations

from app.keeping.accounts import SHARED, Accounts, made_password
from app.keeping.places import data_folder
from ldm_core.errors import FileError


def users(action: str, name: str | None, *, is_owner: bool) -> int:
    """Does what `action` says (`cli` names all); prints a password that was made.  Returns the exit status.

    Raises:
        FileError: there is no such account, or the accounts cannot be kept.
    """
    accounts = Accounts(data_folder())
    try:
        if action == "list":
            for account in accounts.all():
                print(f"{account.name}  {'owner' if account.is_owner else 'guest'}")
        elif action == "sign-out":
            print(f"{accounts.end_sessions(name)} sessions ended.")
            if name is None:
                (data_folder() / "owner.txt").unlink(missing_ok=True)
                print("The owner's link is another one from the next start on.")
        elif name is None or name == SHARED:
            raise FileError(f"users {action} needs a name.")
        else:
            _change(accounts, action, name, is_owner=is_owner)
    finally:
        accounts.close()
    return 0


def _change(accounts: Accounts, action: str, name: str, *, is_owner: bool) -> None:
    known = accounts.find(name)
    if action == "add" and known is not None:
        raise FileError(f"There is an account {name!r}; users renew gives it another password.")
    if action != "add" and known is None:
        raise FileError(f"There is no account {name!r}; users list has those there are.")
    if action == "remove":
        accounts.remove(name)
        print(f"{name} can no longer enter.")
        return
    password = made_password()
    accounts.put(name, password, is_owner=is_owner if known is None else known.is_owner)
    print(f"The password of {name} is  {password}")
