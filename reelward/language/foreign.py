"""Names of other frameworks, and what the state has instead: Isaac Gym, legged_gym, Isaac Lab, MuJoCo's
own, dm_control, Brax. They are not read; a refusal that names one says what to write."""

from __future__ import annotations

import ast
from collections.abc import Collection
from itertools import chain, repeat

from reelward.language.errors import Fail, nearest
from reelward.language.values import STATE, Scope

_CONSTANT = "write the number as a constant: TARGET = 1.2"
_FALL = "leave it out: a fall ends the episode, and alive(s) pays for each step of it"
_VELOCITY = "s.root_vel, [N, 3] in the world frame"
_SPIN = "s.root_angvel, [N, 3]"
_POSITION = "s.root_pos, [N, 3]"
_HEIGHT = "s.root_pos[:, 2], m"
_SPEED = "s.root_vel[:, 0], m/s forward"
_OUT = "leave it out: return the dict of terms"
_UP = "s.up, the root's z axis: upright is s.up[:, 2] = 1"
_JOINTS = "s.joint_pos, one column a joint; the root's position is s.root_pos"
_SPEEDS = "s.joint_vel, one column a joint; the root's velocity is s.root_vel"
_FORCE = "s.foot_force or s.foot_contact, [N, feet]"
_BODIES = 's.body_pos["NAME"], [N, 3]'
_ALIASES = {
    _VELOCITY: "base_lin_vel root_lin_vel root_lin_vel_b root_lin_vel_w lin_vel velocity "
    "local_linvel global_linvel get_local_linvel get_global_linvel vel xd "
    "center_of_mass_velocity com_vel root_velocity",
    _SPEED: "x_velocity forward_vel horizontal_velocity forward_velocity x_vel speed potentials "
    "prev_potentials progress",
    _HEIGHT: "base_height torso_height z pelvis_height body_height height root_height com_height",
    _OUT: "rew_buf reward_buf rew_dict episode_sums extras info reward_info",
    _SPIN: "base_ang_vel root_ang_vel root_ang_vel_b root_ang_vel_w ang_vel gyro get_gyro angvel",
    _POSITION: "base_pos root_pos_w torso_position torso_pos x_position com xpos_root "
    "root_position x_pos center_of_mass_position robot_pos",
    "s.root_pos, s.root_vel, s.up and s.root_angvel, each [N, 3]": "root_states root_state "
    "root_state_w obs_buf observations obs_dict",
    _UP: "projected_gravity projected_gravity_b gravity_vec up_vec up_proj torso_upright upright "
    "get_gravity torso_upvector up_vector vertical base_quat root_quat quat root_quat_w "
    "root_orientation torso_rotation torso_quat heading_vec",
    "s.root_rpy, roll, pitch and yaw (rad), or s.up": "quat_rotate_inverse quat_rotate quat_mul "
    "quat_conjugate quat_apply quat_to_euler euler_from_quat get_euler_xyz euler_xyz_from_quat "
    "quat_to_tan_norm wrap_to_pi base_euler rpy roll pitch yaw torso_angle torso_pitch compute_rot "
    "compute_heading_and_up",
    _JOINTS: "dof_pos qpos joint_positions joint_angles joint_q q",
    _SPEEDS: "dof_vel qvel joint_velocities qd joint_qd dq",
    "s.action, what the policy does in this step, -1 to 1": "actions act a ctrl control raw_actions "
    "torques applied_torque torque actuator_force qfrc_actuator joint_torques dof_force_tensor",
    "s.prev_action, the action of the step before": "last_actions prev_actions last_act last_action "
    "previous_actions previous_action",
    "there is no acceleration: smooth(s), or s.action - s.prev_action": "dof_acc joint_acc qacc "
    "last_dof_vel prev_joint_vel last_joint_vel",
    "s.power, W, the sum over actuators": "energy_cost mechanical_power motor_power",
    _FORCE: "contact_forces net_contact_forces cfrc_ext cfrc contact_force contacts contact "
    "foot_contacts net_forces_w net_forces_w_history contact_filt touch contact_sensor "
    "contact_sensors sensordata feet_contact ground_contact",
    "s.air_time, s, [N, feet]": "feet_air_time last_air_time current_air_time first_contact "
    "compute_first_contact current_contact_time",
    "s.foot_vel, [N, feet, 3]": "feet_vel foot_velocities feet_velocities",
    "s.foot_height, m, [N, feet]": "foot_positions feet_pos foot_pos feet_height swing_height",
    _BODIES: "rigid_body_states xpos xipos body_positions get_body_com body_state_w body_pos_w "
    "rigid_body_pos site_xpos geom_xpos extremities",
    's.body_vel["NAME"], [N, 3]': "body_lin_vel_w xvel cvel body_velocities",
    _CONSTANT: "commands command command_manager get_command command_name target_velocity target "
    "targets cmd target_speed desired_velocity goal goal_pos goal_position reward_scales scales "
    "weights cfg config reward_cfg _config params default_dof_pos default_joint_pos tracking_sigma "
    "soft_dof_pos_limits dof_pos_limits healthy_reward "
    "std sigma base_height_target kwargs",
    _FALL: "reset_buf terminated time_out_buf done dones is_healthy termination_height "
    "fallen reset_terminated truncated is_done",
    "s.time, s since the episode began": "episode_length_buf progress_buf episode_length time_left t "
    "step_count current_step max_episode_length",
    "the time of a step is fixed: divide by nothing, velocities are in the state": "dt timestep "
    "sim_dt step_dt control_dt",
    "tolerance(x, low, high, margin) of the library": "rewards",
    "s.phase, cycles, set by PERIOD": "gait_phase gait_indices phase_left clock_inputs gait_process",
    "s.time.shape[0], only as a size": "num_envs batch_size num_environments",
    's["name"] reads a field': "get getattr keys items",
    "leave it out": "device writer logger",
    "torch.where(condition, a, b)": "lax cond",
}
FOREIGN = dict(
    chain.from_iterable(zip(names.split(), repeat(what)) for what, names in _ALIASES.items())
)
"""foreign name -> what to write"""


def advice(name: str, fields: Collection[str]) -> str:
    """The hint for a name that the state lacks."""
    bare = name.strip("_")
    what = FOREIGN.get(bare, "")
    if not what and bare.endswith(("_weight", "_scale", "_cost", "_coef", "_sigma", "_target")):
        what = _CONSTANT
    if fields and what.startswith("s.") and not what.startswith(tuple(f"s.{f}" for f in fields)):
        what = ""
    return what or nearest(name, fields)


def parts(node: ast.expr) -> list[str]:
    """The words of `a.b["c"].d()` from left to right; none for other expressions."""
    words: list[str] = []
    while not isinstance(node, ast.Name):
        match node:
            case ast.Attribute():
                words.append(node.attr)
                node = node.value
            case ast.Subscript(slice=ast.Constant(value=str(word))):
                words.append(word)
                node = node.value
            case ast.Subscript(value=ast.Name()):
                return []
            case ast.Subscript():
                node = node.value
            case ast.Call():
                node = node.func
            case _:
                return []
    return [node.id, *reversed(words)]


def foreign_read(node: ast.expr, scope: Scope, fields: Collection[str]) -> bool:
    """Whether the expression reads something from the state that the state has not."""
    words = parts(node)
    if len(words) < 2 or words[1] in fields:
        return False
    home = scope.find(words[0])
    return home is not None and home.names[words[0]] is STATE


def foreign_field(node: ast.expr, fields: Collection[str]) -> Fail:
    """The refusal of a whole chain such as `env.scene["robot"].data.root_lin_vel_b`: its last word that
    is known tells what is meant."""
    words = parts(node)[1:]
    known = next((w for w in reversed(words) if w in FOREIGN or w in fields), words[0])
    hint = f"read s.{known}" if known in fields else advice(known, fields)
    name = ".".join(words[: words.index(known) + 1])
    return Fail("E_FIELD", f"this robot has no field {name[:60]!r}", hint)
