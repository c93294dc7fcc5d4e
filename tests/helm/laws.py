"""What schemas can't say: laws that an API server, a scheduler or our own servers hold objects to.

Each law is a generator of complaints, none when all is well. Its name is what must hold.
"""

from collections.abc import Callable, Iterator

import laws_of_pods
import laws_of_releases
from rendering import Object

Law = Callable[[list[Object]], Iterator[str]]

LAWS: tuple[Law, ...] = (
    laws_of_pods.no_two_objects_share_kind_and_name,
    laws_of_pods.names_fit_into_dns_labels,
    laws_of_pods.label_values_are_short_and_plain,
    laws_of_pods.every_mount_has_its_volume_and_every_volume_a_mount,
    laws_of_pods.no_container_mounts_two_volumes_at_one_path,
    laws_of_pods.variables_are_set_once,
    laws_of_pods.requests_equal_limits,
    laws_of_pods.an_accelerator_is_asked_for_by_whom_it_is_used,
    laws_of_pods.port_names_are_valid_and_ports_unique,
    laws_of_pods.ports_are_those_that_the_flags_open,
    laws_of_pods.probes_ask_the_plaintext_health_port,
    laws_of_pods.the_grace_period_outlasts_pause_and_longest_job,
    laws_of_pods.spread_constraints_differ,
    laws_of_pods.pods_are_confined,
    laws_of_releases.deployments_select_their_own_pods_only,
    laws_of_releases.services_select_pods_that_open_their_ports,
    laws_of_releases.budgets_and_policies_select_pods,
    laws_of_releases.a_deployment_has_replicas_or_one_scaler,
    laws_of_releases.scalers_have_bounds_in_order,
    laws_of_releases.trigger_metadata_are_strings,
    laws_of_releases.a_budget_says_one_thing_and_lets_single_pods_go,
    laws_of_releases.rollouts_can_proceed,
    laws_of_releases.policies_open_exactly_the_ports_that_servers_open,
    laws_of_releases.gateways_may_reach_the_workers_that_they_are_told_of,
    laws_of_releases.accounts_exist_or_are_somebody_elses,
    laws_of_releases.what_is_mounted_by_our_names_is_made_by_us,
)
