"""The one error that the stack's tools raise on purpose."""


class StackError(Exception):
    """Something that the stack needs is lacking or did not come up; the message is one line that ends in the fix."""
