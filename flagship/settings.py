"""Every setting, read from the environment through django-environ; `.env.example` documents each variable."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

import environ
import re2
from django.core.exceptions import ImproperlyConfigured

from flagship import embedded
from flagship.console.frame import UNFOLD  # noqa: F401 - a setting
from flagship.console.policy import AUTH_PASSWORD_VALIDATORS, CONTENT_SECURITY_POLICY  # noqa: F401 - likewise
from flagship.openapi.enum_names import ENUM_NAMES
from flagship.servers.addresses import checked_bucket, checked_networks, checked_redis_url, database_of
from flagship.servers.schedule import CELERY_BEAT_SCHEDULE  # noqa: F401 - likewise
from flagship.telemetry import logging_config
from tenancy.group_roles import read_group_roles

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")


def _number(name: str, default: float, *, low: float, high: float) -> float:
    """Read a number and refuse one outside its range with the variable's name, at start rather than at first use."""
    try:
        value = env.float(name, default=default)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be a number between {low:g} and {high:g}.") from error
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name} is {value:g}; it must be between {low:g} and {high:g}.")
    return value


def _pattern(name: str, default: str) -> str:
    """Read a regular expression in RE2's syntax; empty matches nothing."""
    value = env.str(name, default=default)
    try:
        re2.compile(value)
    except re2.error as error:
        raise ImproperlyConfigured(f"{name} is no regular expression that RE2 accepts: {error}.") from error
    return value


# Where things are.
VAR_DIR = Path(env.str("FLAGSHIP_VAR_DIR", default=str(BASE_DIR / "var"))).resolve()
DATABASE_URL = env.str("DATABASE_URL", default="") or embedded.database_url(VAR_DIR)
REDIS_URL = checked_redis_url(env.str("REDIS_URL", default="") or embedded.redis_url(VAR_DIR))
EMBEDDED = not (env.str("DATABASE_URL", default="") and env.str("REDIS_URL", default=""))
# All keys, channels and streams in Redis start with it, so that several installations may share one server.
REDIS_PREFIX = env.str("REDIS_PREFIX", default="flagship")
# Which of the Procfile's processes this is, for the kill board.
PROCESS_NAME = env.str("PROCESS_NAME", default="process")
BASE_URL = env.str("FLAGSHIP_BASE_URL", default="http://127.0.0.1:8000").rstrip("/")
STREAM_URL = env.str("FLAGSHIP_STREAM_URL", default="http://127.0.0.1:8001").rstrip("/")


# Whoever guesses the key can sign in as anybody.
LEAST_SECRET_CHARACTERS, LEAST_SECRET_VARIETY = 32, 8


def _secret_key() -> str:
    """The configured key; on the embedded default one is made once and kept under var/, readable by its owner alone."""
    key = env.str("SECRET_KEY", default="")
    if key:
        if len(key) < LEAST_SECRET_CHARACTERS or len(set(key)) < LEAST_SECRET_VARIETY:
            raise ImproperlyConfigured(
                f"SECRET_KEY is too easy to guess: use at least {LEAST_SECRET_CHARACTERS} random characters, "
                "for example from `openssl rand -base64 48`."
            )
        return key
    if not EMBEDDED:
        raise ImproperlyConfigured("SECRET_KEY must be set when DATABASE_URL and REDIS_URL name servers of your own.")
    path = VAR_DIR / "secret_key"
    draft = VAR_DIR / f".secret_key-{os.getpid()}"
    try:
        VAR_DIR.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_urlsafe(50))
            # Whole or not at all, and the first of several processes wins: none may sign with half a key.
            with suppress(FileExistsError):
                os.link(draft, path)
            draft.unlink()
        return path.read_text()
    except OSError as error:
        raise ImproperlyConfigured(
            f"Cannot write {path}: {error.strerror}. Make the folder writable, or set FLAGSHIP_VAR_DIR or SECRET_KEY."
        ) from error


SECRET_KEY = _secret_key()
# Former values of SECRET_KEY: what they signed or sealed stays valid.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
# Former values too, but only to check audit rows that they sealed: after a leak nothing else may trust them.
AUDIT_FORMER_SECRET_KEYS = env.list("AUDIT_FORMER_SECRET_KEYS", default=[])
# Where the heads of the audit log's chains are written, signed: best a disk of another machine.
AUDIT_HEADS_FILE = env.str("AUDIT_HEADS_FILE", default=str(VAR_DIR / "audit_heads.jsonl"))
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[BASE_URL])

# Applications, lowest layer first (ARCHITECTURE: right may import left).
INSTALLED_APPS = [
    "flagship.apps.FlagShipConfig",
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "flagship.console.site.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
    "channels",
    "django_celery_beat",
    "audit",
    "tenancy",
    "integrations",
    "analytics",
    "flags",
    "experiments",
    "rollouts",
    "approvals",
]
MIDDLEWARE = [
    "flagship.middleware.RequestIdMiddleware",
    "flagship.serving.access_log.AccessLogMiddleware",
    "csp.middleware.CSPMiddleware",
    "flagship.middleware.RateLimitMiddleware",
    "flagship.middleware.PlainErrorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "flagship.middleware.DeviceMiddleware",
    "flagship.middleware.UnstorableMiddleware",
]
ROOT_URLCONF = "flagship.urls"
WSGI_APPLICATION = "flagship.wsgi.application"
ASGI_APPLICATION = "flagship.asgi.application"
APPEND_SLASH = False
CSRF_FAILURE_VIEW = "flagship.console.error_pages.csrf_failure"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
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

# Data stores.
DATABASES = {
    "default": database_of(
        DATABASE_URL, keep_seconds=int(_number("DATABASE_CONN_MAX_AGE_SECONDS", 60, low=0, high=86_400))
    )
}
# PostgreSQL ends a statement of the web process after so long; reports that need longer name it themselves.
STATEMENT_TIMEOUT_SECONDS = _number("STATEMENT_TIMEOUT_SECONDS", 15, low=1, high=600)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "tenancy.User"
# Single sign-on by OpenID Connect; off while no issuer is named. With OIDC_ONLY no password lets anybody in.
OIDC_ISSUER = env.str("OIDC_ISSUER", default="").rstrip("/")
OIDC_ONLY = env.bool("OIDC_ONLY", default=False)
OIDC_GROUPS_CLAIM = env.str("OIDC_GROUPS_CLAIM", default="groups")
try:
    OIDC_GROUP_ROLES = read_group_roles(env.json("OIDC_GROUP_ROLES", default={}))
except ValueError as error:
    raise ImproperlyConfigured(f"OIDC_GROUP_ROLES {error}.") from error
# Names that mozilla-django-oidc gives; its endpoints come from the issuer's own description.
OIDC_RP_CLIENT_ID = env.str("OIDC_CLIENT_ID", default="")
OIDC_RP_CLIENT_SECRET = env.str("OIDC_CLIENT_SECRET", default="")
OIDC_RP_SCOPES = env.str("OIDC_SCOPES", default="openid email profile")
OIDC_RP_SIGN_ALGO = env.str("OIDC_SIGN_ALGORITHM", default="RS256")
OIDC_USE_PKCE, OIDC_TIMEOUT = True, 10
if (OIDC_ISSUER and not OIDC_RP_CLIENT_ID) or (OIDC_ONLY and not OIDC_ISSUER):
    raise ImproperlyConfigured("Single sign-on needs OIDC_ISSUER and OIDC_CLIENT_ID, both.")
AUTHENTICATION_BACKENDS = [
    *([] if OIDC_ONLY else ["tenancy.backends.ThrottledBackend"]),
    *(["tenancy.single_sign_on.SingleSignOnBackend"] if OIDC_ISSUER else []),
]
# So many wrong passwords or secrets for one name (five times as many from one address) lock it out for so long.
LOGIN_ATTEMPTS = int(_number("LOGIN_ATTEMPTS", 10, low=1, high=10_000))
LOGIN_LOCKOUT_SECONDS = _number("LOGIN_LOCKOUT_SECONDS", 300, low=1, high=86_400)
REDIS_TIMEOUT_SECONDS = _number("REDIS_TIMEOUT_SECONDS", 2, low=0.05, high=60)
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": f"{REDIS_PREFIX}:cache",
        "OPTIONS": {
            "SOCKET_CONNECT_TIMEOUT": REDIS_TIMEOUT_SECONDS,
            "SOCKET_TIMEOUT": REDIS_TIMEOUT_SECONDS,
        },
    }
}

# Background work.
CELERY_BROKER_URL = embedded.celery_broker_url(REDIS_URL)
# A task that nobody has vouched for so long runs again; see flagship.servers.task_delivery.
CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": f"{REDIS_PREFIX}:celery:", "visibility_timeout": 120}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 3600
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CONCURRENCY = int(_number("WORKER_CONCURRENCY", 1, low=1, high=256))
# How far a worker steps back where evaluations want the same cores.
WORKER_NICENESS = int(_number("WORKER_NICENESS", 10, low=0, high=19))
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TIMEZONE = "UTC"

# E-mail to people, as smtp+tls://user:password@host:587; by default it is printed.
globals().update(env.email_url("EMAIL_URL", default="consolemail://"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="flagship@localhost")

# After so many days without a change a flag may be stale; archived ones are deleted after so many months (0: never).
STALE_FLAG_DAYS = int(_number("STALE_FLAG_DAYS", 30, low=1, high=3650))
PURGE_ARCHIVED_MONTHS = int(_number("PURGE_ARCHIVED_MONTHS", 12, low=0, high=1200))
# Steps of the version log go after so many days (0: never), but for what something still rests on.
VERSION_LOG_RETENTION_DAYS = int(_number("VERSION_LOG_RETENTION_DAYS", 0, low=0, high=36_500))
ROLLOUTS_ENABLED = env.bool("ROLLOUTS_ENABLED", default=True)

# Propagation: how a change reaches every process.
POLL_SECONDS = _number("POLL_SECONDS", 5, low=0.1, high=60)
STALE_AFTER_SECONDS = _number("STALE_AFTER_SECONDS", 120, low=1, high=86_400)
# Threads of a web worker for whatever asks the database; evaluations have the event loop for themselves.
WEB_THREADS = int(_number("WEB_THREADS", 4, low=1, high=64))
STREAM_HOST, GRPC_HOST = env.str("STREAM_HOST", default="127.0.0.1"), env.str("GRPC_HOST", default="127.0.0.1")
STREAM_PORT = int(_number("STREAM_PORT", 8001, low=1, high=65_535))
# flagd's own port, so that its providers find it. With a certificate it speaks TLS, with an authority mutual TLS.
GRPC_PORT = int(_number("GRPC_PORT", 8013, low=1, high=65_535))
GRPC_TLS_CERTIFICATE, GRPC_TLS_KEY = env.str("GRPC_TLS_CERTIFICATE", default=""), env.str("GRPC_TLS_KEY", default="")
GRPC_CLIENT_CA = env.str("GRPC_CLIENT_CA", default="")
STREAM_MAX_CONNECTIONS = int(_number("STREAM_MAX_CONNECTIONS", 20_000, low=1, high=1_000_000))
STREAM_MAX_PER_KEY = int(_number("STREAM_MAX_PER_KEY", 5_000, low=1, high=1_000_000))
STREAM_MAX_PER_ADDRESS = int(_number("STREAM_MAX_PER_ADDRESS", 1_000, low=1, high=1_000_000))
STREAM_CATCH_UP_STEPS = int(_number("STREAM_CATCH_UP_STEPS", 1_000, low=1, high=100_000))
STREAM_KEEP_ALIVE_SECONDS = _number("STREAM_KEEP_ALIVE_SECONDS", 15, low=1, high=300)
STREAM_DRAIN_WINDOW_SECONDS = _number("STREAM_DRAIN_WINDOW_SECONDS", 10, low=0, high=600)

# Events.
EXPOSURE_BUFFER_SIZE = int(_number("EXPOSURE_BUFFER_SIZE", 100_000, low=100, high=10_000_000))
EXPOSURE_FLUSH_SECONDS = _number("EXPOSURE_FLUSH_SECONDS", 0.2, low=0.01, high=60)
EVENT_STREAM_MAX_BATCHES = int(_number("EVENT_STREAM_MAX_BATCHES", 200_000, low=100, high=100_000_000))
EVENT_STREAM_MAX_BYTES = int(_number("EVENT_STREAM_MAX_BYTES", 536_870_912, low=65_536, high=10**12))
INGEST_BATCH_EVENTS = int(_number("INGEST_BATCH_EVENTS", 10_000, low=1, high=1_000_000))
# After so long without an acknowledgement another ingest process takes a dead one's batch over.
INGEST_CLAIM_SECONDS = _number("INGEST_CLAIM_SECONDS", 30, low=0.1, high=3600)
# Empty: PostgreSQL. clickhouse://user:password@host:8123/database stores and aggregates events there instead.
ANALYTICS_URL = env.str("ANALYTICS_URL", default="")
ANALYTICS_CLICKHOUSE_ENGINE = env.str("ANALYTICS_CLICKHOUSE_ENGINE", default="ReplacingMergeTree")
ANALYTICS_CLICKHOUSE_TTL_DAYS = int(_number("ANALYTICS_CLICKHOUSE_TTL_DAYS", 400, low=8, high=36_500))
# Raw events go after so many days; counts and first exposures stay. An environment may say otherwise.
RAW_EVENT_RETENTION_DAYS = int(_number("RAW_EVENT_RETENTION_DAYS", 90, low=8, high=36_500))
# A unit seen more often than that in one hour is a bot; 0 looks for none.
BOT_EXPOSURES_PER_HOUR = int(_number("BOT_EXPOSURES_PER_HOUR", 5000, low=0, high=10**9))
# RE2, case-insensitive; an event that matches is stored, flagged, counted and left out of every analysis.
BOT_USER_IDS = _pattern("BOT_USER_IDS", r"^(bot|crawler|healthcheck|monitor|synthetic)([-_:]|$)")
BOT_USER_AGENTS = _pattern("BOT_USER_AGENTS", r"bot\b|crawl|spider|slurp|headlesschrome|facebookexternalhit|pingdom")

# Limits of the HTTP surface.
MAX_BODY_BYTES = int(_number("MAX_BODY_BYTES", 1_048_576, low=1024, high=104_857_600))
MAX_EVENTS_BODY_BYTES = 5 * 1024 * 1024
MAX_IMPORT_BODY_BYTES = 64 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_EVENTS_BODY_BYTES
# Pages anywhere may evaluate with a client key (OFREP web providers, browser SDKs); no cookie ever comes along.
CORS_ALLOW_ALL_ORIGINS = True
CORS_URLS_REGEX = r"^(/(ofrep/v1|api|v1))?/((flags/)?evaluate(/|$)|events/)"
CORS_ALLOW_METHODS = ["POST", "OPTIONS"]
CORS_ALLOW_HEADERS = ["authorization", "content-type", "if-none-match", "x-api-key", "x-request-id"]
CORS_EXPOSE_HEADERS = ["etag", "retry-after", "x-request-id"]
# Requests a minute that all processes take from one key, one person or service account, one address.
RATE_LIMIT_KEY = int(_number("RATE_LIMIT_KEY", 600_000, low=1, high=10**9))
RATE_LIMIT_MANAGEMENT = int(_number("RATE_LIMIT_MANAGEMENT", 6_000, low=1, high=10**9))
RATE_LIMIT_ADDRESS = int(_number("RATE_LIMIT_ADDRESS", 600_000, low=1, high=10**9))
# Of these, requests without any credential or cookie.
RATE_LIMIT_ANONYMOUS = int(_number("RATE_LIMIT_ANONYMOUS", 3_000, low=1, high=10**9))

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["flagship.rendering.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["flagship.rendering.OrjsonParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenancy.api.authentication.CredentialAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["tenancy.api.throttling.CredentialThrottle"],
    "DEFAULT_PAGINATION_CLASS": "flagship.pagination.PageNumbers",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
}
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "flagship.errors.Handler",
    "EXCEPTION_FORMATTER_CLASS": "flagship.errors.Formatter",
    "ENABLE_IN_DEBUG_FOR_UNHANDLED_EXCEPTIONS": True,
}
SPECTACULAR_SETTINGS = {
    "ENUM_NAME_OVERRIDES": ENUM_NAMES,
    "TITLE": "FlagShip",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "CAMELIZE_NAMES": False,
    "PREPROCESSING_HOOKS": ["flagship.openapi.document.leave_out_the_alias"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "flagship.openapi.document.say_anything_once",
        "flagship.openapi.document.add_refusals",
        "flagship.openapi.document.finish",
    ],
}

# Where worker processes keep the counts that /metrics sums up; without it this process alone is counted.
PROMETHEUS_MULTIPROC_DIR = env.str("PROMETHEUS_MULTIPROC_DIR", default="")
# Where grpc, ingest, worker and beat answer scrapes; 0 for nowhere.
METRICS_PORT = int(_number("METRICS_PORT", 0, low=0, high=65_535))

# Console.
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
LANGUAGE_CODE, TIME_ZONE, USE_TZ = "en", "UTC", True
STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
WHITENOISE_USE_FINDERS = True
# Security.
_https = BASE_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
if _https:
    # A browser takes a cookie of that name from this host alone, by https, and for all of it.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SESSION_COOKIE_AGE = int(3600 * _number("SESSION_HOURS", 12, low=0.1, high=8760))
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=False)
SECURE_HSTS_SECONDS = int(_number("SECURE_HSTS_SECONDS", 31_536_000 if _https else 0, low=0, high=10**9))
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
TRUST_PROXY_HEADERS = env.bool("TRUST_PROXY_HEADERS", default=False)
# Where the proxies stand whose X-Forwarded-For is believed: networks of private addresses, if nobody says otherwise.
_PRIVATE = ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"]
TRUSTED_PROXIES = checked_networks("TRUSTED_PROXIES", env.list("TRUSTED_PROXIES", default=_PRIVATE))
# Where the audit log is streamed to, as JSON lines: a file for a SIEM, a collector that takes POST; by default nowhere.
AUDIT_EXPORT_FILE, AUDIT_EXPORT_URL = env.str("AUDIT_EXPORT_FILE", default=""), env.str("AUDIT_EXPORT_URL", default="")
AUDIT_EXPORT_TOKEN = env.str("AUDIT_EXPORT_TOKEN", default="")
# S3-compatible storage: events as Parquet by hour, and snapshots that SDKs and edges begin with; by default nowhere.
EVENTS_EXPORT_URL = checked_bucket("EVENTS_EXPORT_URL", env.str("EVENTS_EXPORT_URL", default=""))
SNAPSHOTS_EXPORT_URL = checked_bucket("SNAPSHOTS_EXPORT_URL", env.str("SNAPSHOTS_EXPORT_URL", default=""))
S3_ENDPOINT, S3_REGION = env.str("S3_ENDPOINT", default=""), env.str("S3_REGION", default="us-east-1")
S3_ACCESS_KEY_ID = env.str("S3_ACCESS_KEY_ID", default="")
S3_SECRET_ACCESS_KEY = env.str("S3_SECRET_ACCESS_KEY", default="")
# Inner networks that webhooks may reach; by default none.
_allowed = env.list("WEBHOOK_ALLOWED_NETWORKS", default=[])
WEBHOOK_ALLOWED_NETWORKS = checked_networks("WEBHOOK_ALLOWED_NETWORKS", _allowed)
WEBHOOK_THREADS = int(_number("WEBHOOK_THREADS", 8, low=1, high=64))
# So many proxies, each of which appends an entry to X-Forwarded-For.
TRUSTED_PROXY_HOPS = int(_number("TRUSTED_PROXY_HOPS", 1, low=1, high=10))
if TRUST_PROXY_HEADERS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Logs. Of the data plane's requests one in so many has a line (0: none); those with an error always have one.
ACCESS_LOG_SAMPLE = int(_number("ACCESS_LOG_SAMPLE", 1_000, low=0, high=10**9))
LOG_FORMAT = env.str("LOG_FORMAT", default="console" if EMBEDDED else "json")
if LOG_FORMAT not in {"console", "json"}:
    raise ImproperlyConfigured(f"LOG_FORMAT is {LOG_FORMAT!r}; it must be console or json.")
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
    raise ImproperlyConfigured(f"LOG_LEVEL is {LOG_LEVEL!r}; it must be DEBUG, INFO, WARNING, ERROR or CRITICAL.")
LOGGING = logging_config(log_format=LOG_FORMAT, level=LOG_LEVEL)
