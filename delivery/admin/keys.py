"""Other backends' keys: given out once, revoked here."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from delivery import clocks
from delivery.admin.base import AuditedAdmin
from delivery.admin.looks import moment
from delivery.models import ApiKey
from delivery.models.api_key import SCOPES
from delivery.models.keys import key_hash, new_key


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # no type arguments at run time
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        widget=forms.CheckboxSelectMultiple,
        help_text="What its holder may do.",
    )

    class Meta:
        model = ApiKey
        fields = ("name", "scopes")


@admin.register(ApiKey)
class ApiKeyAdmin(AuditedAdmin[ApiKey]):
    form = ApiKeyForm
    list_display = ("name", "may", "created", "revoked")
    actions = ("revoke",)

    def named(self, of: ApiKey) -> str:
        return of.name

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """A key keeps the scopes that it was made with; the list's action revokes it."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return ("name", "may", "created", "revoked") if obj else ("name", "scopes")

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return ("name", "may", "created", "revoked") if obj else ()

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        obj.plain_key = new_key("hpk")  # type: ignore[attr-defined]  # for the answer to this request alone
        obj.key_hash = key_hash(obj.plain_key)  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def log_addition(self, request: HttpRequest, obj: ApiKey, message: Any) -> Any:
        self.note(request, "issued API key", obj, scopes=obj.scopes)
        return super(AuditedAdmin, self).log_addition(request, obj, message)

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        hint = f"Sent as Authorization: Bearer. It may {', '.join(obj.scopes)}."
        return self.show_key(request, whose=f"API key {obj}", key=obj.plain_key, hint=hint)  # type: ignore[attr-defined]

    @admin.display(description="may")
    def may(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description="issued (UTC)")
    def created(self, key: ApiKey) -> str:
        return moment(key.created_at)

    @admin.display(description="revoked (UTC)")
    def revoked(self, key: ApiKey) -> str:
        return moment(key.revoked_at)

    @admin.action(permissions=["change"], description="Revoke (at once, for good)")
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> None:
        revoked = 0
        with transaction.atomic():
            for key in chosen:
                if ApiKey.objects.valid().filter(pk=key.pk).update(revoked_at=clocks.db_now()):
                    self.note(request, "revoked API key", key)
                    revoked += 1
        self.message_user(request, f"{revoked} revoked.", messages.SUCCESS)
