"""The admin site: stock Django admin under our name."""

from django.contrib.admin import AdminSite


class Site(AdminSite):
    site_header = "HOMEPOT Delivery"
    site_title = "HOMEPOT Delivery"
    index_title = "Push Health"
