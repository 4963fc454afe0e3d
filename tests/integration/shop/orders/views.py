# SPDX-License-Identifier: Apache-2.0
"""What the shop answers: a POST to /orders makes an order, a GET tells how many there are and their sum."""

from django.db.models import Count, Sum
from django.http import JsonResponse
from django.urls import path

from orders.models import Order


def orders(request):
    """The one page."""
    if request.method == "POST":
        order = Order.objects.create(item=request.GET["item"], amount=int(request.GET["amount"]))
        return JsonResponse({"id": order.pk}, status=201)
    return JsonResponse(Order.objects.aggregate(count=Count("id"), sum=Sum("amount")))


urlpatterns = [path("orders", orders)]
