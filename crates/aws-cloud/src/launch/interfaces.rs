//! Network interfaces of a launch template, in a subnet.

use aws_sdk_ec2::types::{
    ConnectionTrackingSpecificationRequest, EnaSrdSpecificationRequest, EnaSrdUdpSpecificationRequest,
    InstanceNetworkInterfaceSpecification, LaunchTemplateInstanceNetworkInterfaceSpecification,
};

/// The same interface in this subnet. A fixed interface or address is not taken over: no template of a group has one, as more than one
/// instance is launched by it.
pub(super) fn within(
    told: &LaunchTemplateInstanceNetworkInterfaceSpecification,
    subnet: &str,
) -> InstanceNetworkInterfaceSpecification {
    let tracking = told.connection_tracking_specification().map(|told| {
        ConnectionTrackingSpecificationRequest::builder()
            .set_tcp_established_timeout(told.tcp_established_timeout())
            .set_udp_timeout(told.udp_timeout())
            .set_udp_stream_timeout(told.udp_stream_timeout())
            .build()
    });
    let express = told.ena_srd_specification().map(|told| {
        let udp = told.ena_srd_udp_specification().map(|told| {
            EnaSrdUdpSpecificationRequest::builder()
                .set_ena_srd_udp_enabled(told.ena_srd_udp_enabled())
                .build()
        });
        EnaSrdSpecificationRequest::builder()
            .set_ena_srd_enabled(told.ena_srd_enabled())
            .set_ena_srd_udp_specification(udp)
            .build()
    });
    InstanceNetworkInterfaceSpecification::builder()
        .subnet_id(subnet)
        .set_associate_carrier_ip_address(told.associate_carrier_ip_address())
        .set_associate_public_ip_address(told.associate_public_ip_address())
        .set_connection_tracking_specification(tracking)
        .set_delete_on_termination(told.delete_on_termination())
        .set_description(told.description().map(str::to_owned))
        .set_device_index(told.device_index())
        .set_ena_queue_count(told.ena_queue_count())
        .set_ena_srd_specification(express)
        .set_groups(Some(told.groups().to_vec()).filter(|groups| !groups.is_empty()))
        .set_interface_type(told.interface_type().map(str::to_owned))
        .set_ipv4_prefix_count(told.ipv4_prefix_count())
        .set_ipv6_address_count(told.ipv6_address_count())
        .set_ipv6_prefix_count(told.ipv6_prefix_count())
        .set_network_card_index(told.network_card_index())
        .set_primary_ipv6(told.primary_ipv6())
        .set_secondary_private_ip_address_count(told.secondary_private_ip_address_count())
        .build()
}
