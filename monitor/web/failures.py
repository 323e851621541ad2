"""What the desk says when it cannot show a page: never a stack, never whether a hidden person exists."""

from __future__ import annotations

from http import HTTPStatus


class Failure(Exception):
    """A page cannot be shown. `key` names its texts `failure.<key>.heading` and `failure.<key>.said`."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    key = "broken"


class SignInNeeded(Failure):
    """Nobody is signed in, or the session ended."""

    status = HTTPStatus.UNAUTHORIZED
    key = "signed_out"


class Unseen(Failure):
    """There is no such thing, or this viewer may not know that there is: one wording for both."""

    status = HTTPStatus.NOT_FOUND
    key = "unseen"


class ForeignForm(Failure):
    """A form without this session's token: it did not come from a page of ours."""

    status = HTTPStatus.FORBIDDEN
    key = "foreign_form"


class WrongRole(Failure):
    """The role of this user sees no clinical detail."""

    status = HTTPStatus.FORBIDDEN
    key = "wrong_role"
