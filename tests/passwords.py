"""Passwords hashed as in production, with one round: a million for each person of each test cost most of its time."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class OneRound(PBKDF2PasswordHasher):
    iterations = 1
