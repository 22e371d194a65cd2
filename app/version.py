"""The version of the product. It stands in the code, so that executors, which get only `app/` in a zip, know it as well."""

VERSION = "1.0.0"
USER_AGENT = f"salestream/{VERSION}"
