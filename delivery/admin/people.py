"""People and groups: the stock pages, with the audit log."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User

from delivery.admin.base import AuditedAdmin

admin.site.unregister([User, Group])


@admin.register(User)
class PersonAdmin(AuditedAdmin[User], UserAdmin):  # type: ignore[type-arg]  # no type arguments at run time
    def named(self, of: User) -> str:
        return of.get_username()


@admin.register(Group)
class TeamAdmin(AuditedAdmin[Group], GroupAdmin):
    def named(self, of: Group) -> str:
        return of.name
