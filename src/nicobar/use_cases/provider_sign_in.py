"""Sign-in with an OpenID Connect provider: which user an identity is, with which role. The rules of the settings
decide, again at each sign-in; only users who are named there get in.
"""

from __future__ import annotations

import hashlib

import msgspec

from nicobar.audit import AuditAction
from nicobar.errors import NicobarError, Refusal, StoreUnusable
from nicobar.logs import log
from nicobar.model import Identity, User, UserRole
from nicobar.sign_in_rules import OidcSettings, plain_email
from nicobar.store import Access, AddUser, EndSessions, PutIdentity, SetRole
from nicobar.use_cases.edit import Act, Edit, OperationServices, edited
from nicobar.use_cases.identity_provider import ProvidedIdentity, SignInAttempt
from nicobar.use_cases.users import NamedActor, check_name

# How long a visitor may take at the provider.
ATTEMPT_MS = 10 * 60_000
_SEALED_FOR = "sign-in with a provider"
_USED_STATES = "sign-in states"


def seal_attempt(services: OperationServices, attempt: SignInAttempt) -> str:
    """An attempt for the browser, which cannot read or change it."""
    return services.vault.seal(msgspec.json.encode(attempt), _SEALED_FOR).hex()


def open_attempt(services: OperationServices, sealed: str, state: str) -> SignInAttempt:
    """The attempt of this browser that the state belongs to. Raises Refusal 400."""
    try:
        plain = services.vault.unseal(bytes.fromhex(sealed), _SEALED_FOR)
    except (StoreUnusable, ValueError) as error:
        raise _over() from error
    attempt = msgspec.json.decode(plain, type=SignInAttempt)
    if attempt.state != state or attempt.expires_at_ms <= services.clock.now_ms():
        raise _over()
    return attempt


async def use_once(access: Access, attempt: SignInAttempt, now_ms: int) -> None:
    """Raises Refusal 400 the second time, in every process."""
    state = hashlib.sha256(attempt.state.encode()).hexdigest()
    used = await access.begin_answer(_USED_STATES, state, "used", now_ms=now_ms, before_ms=now_ms - 2 * ATTEMPT_MS)
    if used is not None:
        raise _over()


def _over() -> Refusal:
    return Refusal(
        400,
        "sign_in_over",
        "This sign-in has expired, was used, or was started in another browser.",
        "Start again, at the public URL of this dashboard.",
    )


async def sign_in_identity(services: OperationServices, settings: OidcSettings, identity: ProvidedIdentity) -> User:
    """The user of an identity: by issuer and subject, and only the first time by email. Creates a missing user, and
    sets the role that the rules give. Raises Refusal 403 for who may not sign in, and UserError where no owner would
    remain.
    """
    actor = NamedActor(f"user {plain_email(identity.email) or identity.subject}")

    async def change(edit: Edit) -> User | Refusal:
        linked = await services.store.identity_user(identity.issuer, identity.subject)
        try:
            email, role = _role(settings, identity)
        except Refusal as refusal:
            if linked is not None:
                ended = EndSessions(user_id=linked.id)
                action = AuditAction.USER_REFUSE_SIGN_IN
                await edit.commit(action, linked.id, ended, app_id=None, detail=linked.name)
            return refusal
        user, acts = (linked, []) if linked is not None else await _linked(services, identity, email, role)
        if user.role is not role:
            acts.append(_act(AuditAction.USER_SET_ROLE, user, SetRole(user_id=user.id, role=role), role.value))
        acts.append(_act(AuditAction.USER_SIGN_IN, user))
        await edit.commit_acts(acts)
        return msgspec.structs.replace(user, role=role)

    found = await edited(services, actor, change)
    if isinstance(found, NicobarError):
        log.warning("sign-in rejected", code=found.code)
        raise found
    return found


def _role(settings: OidcSettings, identity: ProvidedIdentity) -> tuple[str, UserRole]:
    """The email as it is compared, and its role. Raises Refusal 403."""
    email = plain_email(identity.email)
    if email is None:
        raise Refusal(
            403,
            "email_missing",
            "The sign-in provider did not return an email address.",
            "Request the scope email in oidc_scopes, and add an address to the account.",
        )
    if not identity.is_verified:
        raise Refusal(
            403,
            "email_unverified",
            "The sign-in provider has not verified the email address %(email)s.",
            "Verify it at the provider, then sign in again.",
            email=email,
        )
    role = settings.rules.role_of(email, identity.groups)
    if role is None:
        raise Refusal(
            403,
            "user_not_allowed",
            "%(email)s has no access to this dashboard.",
            "Ask the operator to add you to oidc_viewers, oidc_editors or oidc_owners.",
            email=email,
        )
    return email, role


async def _linked(
    services: OperationServices, identity: ProvidedIdentity, email: str, role: UserRole
) -> tuple[User, list[Act]]:
    """The user with that email as the name, or a new one, and what links the identity. Raises Refusal 403 for a user
    who is linked to another subject: the email may have changed hands.
    """
    now_ms = services.clock.now_ms()
    named = next((user for user in await services.store.users() if user.name.lower() == email), None)
    acts = []
    if named is None:
        check_name(email)
        named = User(id=services.ids.new("usr"), name=email, role=role, password_hash="", created_at_ms=now_ms)
        acts.append(_act(AuditAction.USER_CREATE, named, AddUser(user=named)))
    elif any(other.user_id == named.id for other in await services.store.identities(identity.issuer)):
        raise Refusal(
            403,
            "identity_conflict",
            "The user %(email)s belongs to another account of the sign-in provider.",
            "Ask an owner to remove the user, then sign in again.",
            email=email,
        )
    link = Identity(issuer=identity.issuer, subject=identity.subject, user_id=named.id, created_at_ms=now_ms)
    acts.append(_act(AuditAction.USER_LINK_IDENTITY, named, PutIdentity(identity=link)))
    return named, acts


def _act(
    action: AuditAction, user: User, change: AddUser | PutIdentity | SetRole | None = None, detail: str = ""
) -> Act:
    return Act(
        action=action,
        subject=user.id,
        changes=() if change is None else (change,),
        app_id=None,
        detail=f"{user.name}: {detail}" if detail else user.name,
    )
