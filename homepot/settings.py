"""Settings, from the environment alone. Each variable: docs/configuration.md."""

import tomllib
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF

from delivery import crash_points
from delivery.priority import PRIORITY_WORDS
from homepot import credentials, env, logs, portal_files

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = env.boolean("DEBUG")
SECRET_KEY = env.secret("SECRET_KEY") or ("only-for-debugging-" + "x" * 40 if DEBUG else "")
if not SECRET_KEY:
    env.refuse("SECRET_KEY", "it is missing. Set it to 50 random characters, or set DEBUG=1 on a machine of your own")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", ("127.0.0.1", "localhost"))
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")
PUBLIC_URL = env.url("PUBLIC_URL", "http://127.0.0.1:8000", schemes=("http", "https")).rstrip("/")
NUM_PROXIES = env.integer("NUM_PROXIES", 0, maximum=10)
HTTPS = PUBLIC_URL.startswith("https://")
WEB_THREADS = env.integer("WEB_THREADS", 8, minimum=4, maximum=100)

INSTALLED_APPS = [
    "homepot.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "axes",
    "csp",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "delivery",
    "analytics",
]
SIMULATOR = env.boolean("SIMULATOR", DEBUG)
if SIMULATOR:
    INSTALLED_APPS.append("simulator")

MIDDLEWARE = [
    "homepot.logs.RequestLog",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "homepot.errors.ClearErrors",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "homepot.urls"
APPEND_SLASH = True
WSGI_APPLICATION = "homepot.wsgi.application"
ASGI_APPLICATION = "homepot.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "homepot" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "homepot" / "assets", ("portal", BASE_DIR / "clients" / "web" / "portal")]
WHITENOISE_ADD_HEADERS_FUNCTION = portal_files.add_headers
WHITENOISE_USE_FINDERS = SIMULATOR
WHITENOISE_AUTOREFRESH = False
LANGUAGE_CODE = "en-gb"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


# --- The record
STATEMENT_LIMIT_S = env.integer("STATEMENT_LIMIT_S", 30, maximum=86_400)
LOCK_LIMIT_S = 10


def _database() -> dict[str, Any]:
    """PostgreSQL for production, SQLite (WAL, one writer at a time) for the embedded default."""
    address = env.url(
        "DATABASE_URL", f"sqlite:///{BASE_DIR}/var/homepot.sqlite3", schemes=("sqlite", "postgres", "postgresql")
    )
    pooled = env.boolean("DATABASE_POOL")
    config: dict[str, Any] = dict(dj_database_url.parse(address))
    if config["ENGINE"] == "django.db.backends.sqlite3":
        Path(config["NAME"]).parent.mkdir(parents=True, exist_ok=True)
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON",
        }
    else:
        options = config.setdefault("OPTIONS", {})
        options.update({"connect_timeout": 5, "tcp_user_timeout": 10_000, "keepalives_idle": 10, **options})
        limits_ms = {
            "statement_timeout": STATEMENT_LIMIT_S * 1000,
            "lock_timeout": LOCK_LIMIT_S * 1000,
            "idle_in_transaction_session_timeout": STATEMENT_LIMIT_S * 1000,
        }
        limits = [f"-c {name}={limit_ms}" for name, limit_ms in limits_ms.items()]
        # what is prepared (setwise.py) is planned once, for few rows that are found by their keys
        plans = ["-c jit=off", "-c plan_cache_mode=force_generic_plan"]
        options["options"] = " ".join([*limits, *plans, options.get("options", "")]).strip()
        config["CONN_HEALTH_CHECKS"] = True
        config["CONN_MAX_AGE"] = 0 if pooled else 600
        if pooled:
            config["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 16, "timeout": 5}
    return config


DATABASES = {"default": _database()}

# --- Shared counters (rate limits), and the broker
CACHE_URL = env.url("CACHE_URL", "", schemes=("redis", "rediss", "unix"))
CACHES: dict[str, Any] = {
    "default": {
        "BACKEND": "delivery.counters.SharedCounters",
        "LOCATION": CACHE_URL,
        "KEY_PREFIX": "homepot",
        # shorter than acks may wait (ack_groups.LATE_S): while it does not answer, they are counted without it
        "OPTIONS": {"socket_timeout": 0.25, "socket_connect_timeout": 0.25},
    }
    if CACHE_URL
    else {"BACKEND": "delivery.counters.OwnCounters"},
    "local": {"BACKEND": "delivery.counters.OwnCounters", "LOCATION": "local"},
}

CELERY_BROKER_URL = env.url(
    "CELERY_BROKER_URL",
    "redis://127.0.0.1:6379/0",
    schemes=("redis", "rediss", "redis+socket", "amqp", "amqps", "memory"),
)

# --- Orders and messages
DEFAULT_TTL_S = env.integer("DEFAULT_TTL_S", 300, minimum=1, maximum=2_419_200)
COMMAND_TTL_S = env.integer("COMMAND_TTL_S", 86_400, minimum=1, maximum=2_419_200)
MAX_TTL_S = 2_419_200  # 28 days: the longest that any provider keeps a message
INTAKE_LIMIT_S = env.number("INTAKE_LIMIT_S", 120.0, minimum=1, maximum=86_400)
FANOUT_CHUNK = env.integer("FANOUT_CHUNK", 500, minimum=1, maximum=10_000)
SEND_BATCH = env.integer("SEND_BATCH", 200, minimum=1, maximum=5_000)
SEND_WINDOW = env.integer("SEND_WINDOW", 100, minimum=1, maximum=1_000)
RESULT_BATCH = 100
RESULT_WAIT_S = 0.2
MAX_ATTEMPTS = env.integer("MAX_ATTEMPTS", 5, minimum=1, maximum=8)
FALLBACK_AFTER_S = env.weights("FALLBACK_AFTER_S", PRIORITY_WORDS)
RETRY_BASE_S = env.number("RETRY_BASE_S", 2.0, minimum=0.01, maximum=3600)
RETRY_CAP_S = env.number("RETRY_CAP_S", 600.0, minimum=0.01, maximum=21_600)
SEND_DEADLINE_S = env.number("SEND_DEADLINE_S", 10.0, minimum=0.1, maximum=60)
BATCH_BUDGET_S = env.number("BATCH_BUDGET_S", 30.0, minimum=1, maximum=300)
TASK_LIMIT_S = env.integer("TASK_LIMIT_S", 35, minimum=1, maximum=600)
SEND_PROCESSES = env.integer("SEND_PROCESSES", 2, minimum=1, maximum=1_000)
LEASE_S = env.number("LEASE_S", 60.0, minimum=2, maximum=3600)
if not LEASE_S >= TASK_LIMIT_S + 10 or not TASK_LIMIT_S > BATCH_BUDGET_S > SEND_DEADLINE_S:
    env.refuse("LEASE_S", "LEASE_S >= TASK_LIMIT_S + 10 and TASK_LIMIT_S > BATCH_BUDGET_S > SEND_DEADLINE_S must hold")
STALLED_AFTER_S = env.number("STALLED_AFTER_S", 20.0, minimum=1, maximum=3600)
CHANNEL_SILENCE_DAYS = env.integer("CHANNEL_SILENCE_DAYS", 90, minimum=1, maximum=3650)
IDEMPOTENCY_DAYS = 30

# --- What is kept how long (days); docs/retention.md
RAW_LOG_DAYS = env.integer("RAW_LOG_DAYS", 30, minimum=7, maximum=36_500)
PAYLOAD_DAYS = env.integer("PAYLOAD_DAYS", 7, minimum=1, maximum=36_500)
DEVICE_DATA_DAYS = env.integer("DEVICE_DATA_DAYS", 30, maximum=36_500)
AUDIT_DAYS = env.integer("AUDIT_DAYS", 365, maximum=36_500)
ROLLUP_DAYS = env.integer("ROLLUP_DAYS", 0, maximum=36_500)
if 0 < ROLLUP_DAYS <= RAW_LOG_DAYS:
    env.refuse("ROLLUP_DAYS", "it must be greater than RAW_LOG_DAYS, or 0: the hourly numbers outlive their messages")
if 0 < AUDIT_DAYS < 30:
    env.refuse("AUDIT_DAYS", "it must be 30 at least, or 0")

ACK_KEYS = env.words("ACK_KEYS") or [SECRET_KEY]
ACK_REQUIRE_TOKEN = env.boolean("ACK_REQUIRE_TOKEN")
EMULATOR_BOOTSTRAP_KEY = "homepot-dev-emulator-key" if DEBUG else ""

# --- Providers: one dict of settings per credential; a provider without any is unavailable
PROVIDERS = credentials.from_environment(window=SEND_WINDOW, deadline_s=SEND_DEADLINE_S)
CREDENTIALS_FILE = env.file("CREDENTIALS_FILE", tomllib.load)
MQTT_URL = PROVIDERS.get("mqtt", {}).get("default", {}).get("url", "")
MQTT_CA_FILE = PROVIDERS.get("mqtt", {}).get("default", {}).get("ca_file", "")

# --- Celery: hints without state. The row is the record; see docs/decisions/0003
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = TASK_LIMIT_S
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "visibility_timeout": 600,
    }
    if CELERY_BROKER_URL.startswith("redis")
    else {}
)
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_DEFAULT_QUEUE = "maintenance"
CELERY_TASK_ROUTES = {"delivery.fan_out": {"queue": "fanout"}}
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "delivery.beat:Beat"
CELERY_BEAT_SCHEDULE = {
    name: {"task": name, "schedule": seconds}
    for name, seconds in {
        "delivery.rehint": 1.0,
        "delivery.release_lost": 2.0,
        "delivery.expire": 5.0,
        "delivery.expire_commands": 5.0,
        "delivery.hold_back": 2.0,
        "delivery.resume_jobs": 2.0,
        "delivery.settle_jobs": 2.0,
        "delivery.judge_overdue": 5.0,
        "delivery.detour": 10.0,
        "delivery.hedge": 2.0,
        "analytics.judge": 10.0,
        "analytics.roll_up": 15.0,
        "delivery.close_silent_spans": 30.0,
        "delivery.archive_silent_channels": 86_400.0,
        "delivery.forget_idempotency_keys": 86_400.0,
        "delivery.rehint_challenges": 10.0,
        "delivery.forget_challenges": 86_400.0,
        "delivery.warn_of_expiring_credentials": 86_400.0,
        "delivery.settle_ranks": 300.0,
        "analytics.find_zombies": 300.0,
        "analytics.heal_zombies": 60.0,
        "analytics.judge_alerts": 60.0,
        "analytics.tell_of_alerts": 10.0,
        "analytics.prune": 600.0,
    }.items()
}
CELERY_BEAT_SCHEDULE_FILENAME = env.text("BEAT_SCHEDULE_FILE", str(BASE_DIR / "var" / "beat-schedule"))

# --- Zombies: online, and nothing of what their provider accepted is confirmed
ZOMBIE_PUSHES = env.integer("ZOMBIE_PUSHES", 3, minimum=1, maximum=1_000)
ZOMBIE_WINDOW_H = env.integer("ZOMBIE_WINDOW_H", 24, minimum=1, maximum=168)
ZOMBIE_ASK_AFTER_S = env.integer("ZOMBIE_ASK_AFTER_S", 300, maximum=604_800)
ZOMBIE_MOVE_AFTER_S = env.integer("ZOMBIE_MOVE_AFTER_S", 3_600, maximum=604_800)
ZOMBIE_TICKET_AFTER_S = env.integer("ZOMBIE_TICKET_AFTER_S", 3_600, maximum=604_800)

# --- Alerts: when one opens, and who is told
ALERT_MIN_SAMPLE = env.integer("ALERT_MIN_SAMPLE", 20, minimum=1)
ALERT_CALM_S = env.number("ALERT_CALM_S", 300.0, maximum=86_400)
ALERT_SITE_FAILURE_RATE = env.number("ALERT_SITE_FAILURE_RATE", 0.05, maximum=1)
ALERT_PROVIDER_ERROR_RATE = env.number("ALERT_PROVIDER_ERROR_RATE", 0.05, maximum=1)
ALERT_FALLBACK_RATE = env.number("ALERT_FALLBACK_RATE", 0.1, maximum=1)
ALERT_REGISTRATION_FAILURE_RATE = env.number("ALERT_REGISTRATION_FAILURE_RATE", 0.2, maximum=1)
ALERT_P95_MS = env.number("ALERT_P95_MS", 2_000.0, minimum=1, maximum=86_400_000)
ALERT_ZOMBIES = env.integer("ALERT_ZOMBIES", 5, minimum=1)
ALERT_SWEEP_LATE_S = env.number("ALERT_SWEEP_LATE_S", 120.0, minimum=1, maximum=86_400)
ALERT_BREAKER_OPEN_S = env.number("ALERT_BREAKER_OPEN_S", 60.0, maximum=86_400)
ALERT_EMAILS = env.words("ALERT_EMAILS")
ALERT_URLS = env.secret("ALERT_URLS").split()
EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = env.integer("EMAIL_PORT", 25, minimum=1, maximum=65_535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.secret("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.boolean("EMAIL_USE_TLS")
EMAIL_USE_SSL = env.boolean("EMAIL_USE_SSL")
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", "homepot@localhost")
if ALERT_EMAILS and not EMAIL_HOST:
    env.refuse("EMAIL_HOST", "it is missing: ALERT_EMAILS are sent through it")
if EMAIL_USE_TLS and EMAIL_USE_SSL:
    env.refuse("EMAIL_USE_SSL", "STARTTLS (EMAIL_USE_TLS) and TLS from the start exclude each other")

# --- Who is calling
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_IPWARE_PROXY_COUNT = NUM_PROXIES
AXES_VERBOSE = False
REST_KNOX = {"TOKEN_TTL": None, "AUTO_REFRESH": False, "AUTH_HEADER_PREFIX": "Bearer"}
JWT_ISSUER = env.text("JWT_ISSUER")
JWT_KEY_FILE = env.file("JWT_KEY_FILE")
if bool(JWT_ISSUER) != bool(JWT_KEY_FILE):
    env.refuse(
        "JWT_ISSUER" if JWT_KEY_FILE else "JWT_KEY_FILE", "it is missing: JWT_ISSUER and JWT_KEY_FILE go together"
    )
RATE_LIMIT_FACTOR = env.integer("RATE_LIMIT_FACTOR", 1, minimum=1, maximum=10_000)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_PARSER_CLASSES": ["delivery.api.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "delivery.api.errors.handle",
    "NUM_PROXIES": NUM_PROXIES,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "HOMEPOT Delivery",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_NAME_OVERRIDES": {
        "AckStatus": "delivery.models.receipt.ReceiptStatus",
        "CommandStatus": "delivery.models.device_command.CommandStatus",
        "CommandEnd": ["completed", "failed"],
        "OwnJobStatus": "delivery.models.device_job.DeviceJobStatus",
        "OwnJobMove": ["running", "completed", "failed"],
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- Browsers
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "frame-ancestors": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "object-src": [NONE],
    }
}
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = env.boolean("SECURE_SSL_REDIRECT", HTTPS)
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
if NUM_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_100_000

# --- Where this process is to die: for tests
CRASH_AT = env.text("CRASH_AT")
if CRASH_AT and not (DEBUG or "simulation" in PROVIDERS):
    env.refuse("CRASH_AT", "only where DEBUG or ALLOW_SIMULATION is set can a process be told to die")
try:
    crash_points.arm(CRASH_AT)
except ValueError as error:
    env.refuse("CRASH_AT", str(error))

# --- Logs: one JSON object a line
METRICS_FOLDER = env.text("PROMETHEUS_MULTIPROC_DIR")
if METRICS_FOLDER and not Path(METRICS_FOLDER).is_dir():
    env.refuse("PROMETHEUS_MULTIPROC_DIR", f"there is no folder {METRICS_FOLDER}. Make it, empty, before each start")
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING_CONFIG = None
logs.configure(LOG_LEVEL)
